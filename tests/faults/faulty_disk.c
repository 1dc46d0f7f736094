/* Loaded with LD_PRELOAD: a file system that lacks what FAULTS names, for all files below the folder FAULTY. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int lacks(const char *fault, int file)
{
    const char *faults = getenv("FAULTS"), *folder = getenv("FAULTY");
    char link[64], path[4096];
    ssize_t length;

    if (!faults || !folder || strcmp(faults, fault))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path);
    return length >= (ssize_t)strlen(folder) && !strncmp(path, folder, strlen(folder));
}

static int failed(int code)
{
    errno = code;
    return -1;
}

int flock(int file, int operation)
{
    if (lacks("flock", file))
        return failed(ENOLCK);
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}

int fcntl64(int file, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && lacks("record locks", file))
        return failed(ENOLCK);
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64"))(file, command, argument);
}

int fcntl(int file, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl64(file, command, argument);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    if (flags & MAP_SHARED && lacks("shared memory", file)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return ((void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap64"))(
        address, length, protection, flags, file, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    return mmap64(address, length, protection, flags, file, offset);
}

ssize_t pread64(int file, void *buffer, size_t count, off_t offset)
{
    if (lacks("reads", file))
        return failed(EIO);
    return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64"))(file, buffer, count, offset);
}
