"""One HEVC intra picture: x265 writes it, libavcodec reads it (both from PyAV's libraries)."""

from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.bitstream import START_CODE, nal_type, split_nal_units
from simulator.baselines.bpg.colour import Planes
from simulator.baselines.bpg.errors import BpgError, BpgFormatError

_FORMATS = {0: "gray", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}  # chroma_format_idc -> 8-bit planar format
_PREFIX_SEI = 39
MIN_SIDE = 16  # the smallest picture x265 takes
THIN, LONGEST_THIN = 24, 4096  # above, x265 refuses coding tree blocks of 16, which it takes for so thin a picture

# A single intra picture of the best fidelity in MSE: no psycho-visual terms, no adaptive quantisation (they cost 13 %
# in rate), full rate-distortion optimisation; nothing that a lone picture has no use for. x265 ignores misspelt names.
_X265_PARAMETERS = {
    **{"ipratio": 1, "aq-mode": 0, "cutree": 0, "psy-rd": 0, "psy-rdoq": 0, "rd": 6, "rdoq-level": 2},
    **{"amp": 1, "rect": 1, "keyint": 1, "bframes": 0, "b-adapt": 0, "ref": 1, "weightp": 0, "scenecut": 0},
    **{"rc-lookahead": 0, "lookahead-slices": 0, "no-open-gop": 1, "frame-threads": 1, "pools": "none", "no-wpp": 1},
    **{"repeat-headers": 1, "annexb": 1, "no-hrd": 1, "no-aud": 1, "no-vui-timing-info": 1, "no-vui-hrd-info": 1},
    **{"log-level": "none"},
}
_PRESET = "veryslow"
# For a file between two QPs: x265 offsets the QP of regions only with adaptive quantisation on and the rate factor in
# place of the QP (for a lone picture they are the same); at this strength the adaptation itself rounds to nothing.
_FINER_PARAMETERS = {"aq-mode": 1, "aq-strength": 0.01}
GROUP = 32  # luma samples, side of a quantisation group: the smallest area with a QP of its own


def padded_size(height: int, width: int) -> tuple[int, int, int]:
    """(height, width, smallest coding block) of the coded picture: multiples of 8; 16 if tiny, 32 if thin."""
    block = 8 if min(height, width) > 8 else MIN_SIDE
    if min(height, width) <= THIN and max(height, width) > LONGEST_THIN:
        block = 32
    return -(-height // block) * block, -(-width // block) * block, block


def quantisation_groups(height: int, width: int) -> int:
    """How many areas of a picture can have a QP of their own."""
    return -(-height // GROUP) * -(-width // GROUP)


def encode_picture(planes: Planes, chroma_format_idc: int, qp: int, min_coding_block: int = 8, finer: int = 0) -> bytes:
    """Encodes 8-bit planes as an HEVC byte stream (annex B) with parameter sets.

    planes: uint8, luma [H, W] with multiples of min_coding_block of at least 16, chroma by chroma_format_idc.
    finer: the first so many quantisation groups, row by row, have qp - 1.
    Raises BpgError if x265 fails.
    """
    height, width = planes[0].shape
    parameters = {"qp": qp, "min-cu-size": min_coding_block, **_X265_PARAMETERS}
    if finer:
        del parameters["qp"]
        parameters |= {"crf": qp, "qg-size": max(GROUP, min_coding_block), **_FINER_PARAMETERS}
    frame = av.VideoFrame(width, height, _FORMATS[chroma_format_idc])
    frame.pts = 0
    for target, plane in zip(frame.planes, planes, strict=True):
        _samples(target)[: len(plane), : plane.shape[1]] = plane
    try:
        frame = _with_finer_groups(frame, finer) if finer else frame
        context = av.CodecContext.create("libx265", "w")
        context.width, context.height, context.pix_fmt = width, height, frame.format.name
        context.time_base = Fraction(1, 25)
        context.thread_count = 1
        options = ":".join(f"{name}={value}" for name, value in parameters.items())
        context.options = {"preset": _PRESET, "x265-params": options}
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise BpgError(f"x265 cannot encode a picture of {width} x {height}: {error}") from error
    return b"".join(bytes(packet) for packet in packets)


def _with_finer_groups(frame: av.VideoFrame, count: int) -> av.VideoFrame:
    """The frame with a QP offset of -1 on its first `count` quantisation groups: whole rows, and a part of one."""
    time_base = Fraction(1, 25)
    rows, columns = divmod(count, -(-frame.width // GROUP))
    regions = [(0, frame.width, GROUP * rows), (GROUP * rows, GROUP * columns, GROUP)]
    graph = av.filter.Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    for top, width, height in regions:
        if width and height:
            height = min(height, frame.height - top)
            region = graph.add("addroi", f"x=0:y={top}:w={width}:h={height}:qoffset=-1/51")
            last.link_to(region)
            last = region
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    frame.time_base = time_base
    graph.push(frame)
    marked = graph.pull()
    assert isinstance(marked, av.VideoFrame)
    return marked


def decode_picture(nal_units: list[bytes], chroma_format_idc: int, height: int, width: int) -> Planes:
    """Decodes one 8-bit HEVC picture from its NAL units (parameter sets first).

    Returns uint8 planes that cover at least height x width luma samples.
    Raises BpgFormatError when libavcodec gives up, says the picture is damaged, or returns another format.
    """
    stream = b"".join(START_CODE + nal for nal in nal_units)
    try:
        context = av.CodecContext.create("hevc", "r")
        context.thread_count = 1
        frames = [*context.decode(av.Packet(stream)), *context.decode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise BpgFormatError(f"BPG file is damaged: its HEVC payload does not decode ({error})") from error
    if not frames:
        raise BpgFormatError("BPG file is damaged: its HEVC payload holds no complete picture")
    frame = frames[0]
    if frame.is_corrupt:
        raise BpgFormatError("BPG file is damaged: its HEVC payload breaks off or contradicts itself")
    if frame.format.name not in (_FORMATS[chroma_format_idc], _FORMATS[chroma_format_idc].replace("yuv", "yuvj")):
        raise BpgFormatError(f"BPG file is damaged: its HEVC payload decodes to {frame.format.name}")
    if frame.width < width or frame.height < height:
        raise BpgFormatError("BPG file is damaged: its HEVC picture is smaller than its header says")
    return [_samples(plane)[: plane.height, : plane.width] for plane in frame.planes]


def _samples(plane: av.video.plane.VideoPlane) -> npt.NDArray[np.uint8]:
    """The plane's memory as [rows, bytes per row], padding included; writes go through."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)


def finer_identity() -> str:
    """Names what decides x265's output between two QPs beside `encoder_identity`."""
    return f"{_FINER_PARAMETERS} in groups of {GROUP}, libavfilter {av.library_versions['libavfilter']}"


@lru_cache(maxsize=1)
def encoder_identity() -> str:
    """Names everything but the picture and QP that decides x265's output: its build and our parameters."""
    probe = encode_picture([np.zeros((MIN_SIDE, MIN_SIDE), np.uint8)], 0, 51)
    banner = b"".join(nal for nal in split_nal_units(probe) if nal_type(nal) == _PREFIX_SEI)
    build = banner[banner.find(b"x265") :].split(b" - H.265")[0]  # what follows repeats the parameters
    libavcodec = av.library_versions["libavcodec"]
    return f"{build.decode('ascii', 'replace')} {_PRESET} {_X265_PARAMETERS} libavcodec {libavcodec}"
