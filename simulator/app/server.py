"""Serves the page to this machine alone, and leaves nothing behind."""

import os
import signal
import socket
import tempfile
import threading
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from simulator.errors import UserError

if TYPE_CHECKING:
    from simulator.app.session import Machine

HOST = "127.0.0.1"
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")
CLOSED: dict[str, Any] = {"share": False, "run_history": False, "mcp_server": False, "pwa": False}
CLOSED |= {"ssr_mode": False, "footer_links": []}  # what Gradio would offer besides the page


def serve(port: int, schemes: tuple[str, ...], device: str, precision: str, browser: bool) -> None:
    """Serve the playground on 127.0.0.1 until interrupted.

    Args:
        port: TCP port.
        schemes: specifications to offer in addition to the installed ones.
        device, precision: where and how learned schemes compute.
        browser: open the page in a browser.

    Raises:
        UserError: Gradio, the device or a scheme is missing, or the port is in use.
    """
    _check_port(port)
    with tempfile.TemporaryDirectory(prefix="simulator-app-") as folder:
        _quieten(folder)
        try:
            import gradio as gr
        except ImportError:
            raise UserError("the playground needs Gradio; run: pip install -e '.[app]' in a checkout") from None
        from starlette.middleware import Middleware

        from simulator.app import session
        from simulator.app.controls import MAX_UPLOAD_MB
        from simulator.app.guard import OwnPageOnly
        from simulator.app.page import build
        from simulator.devices import check_device

        check_device(device)
        machine = session.Machine(device, precision)
        for scheme in schemes:
            session.find_scheme(scheme, machine)
        page = build((*session.installed_schemes(), *schemes), machine)
        page.queue(default_concurrency_limit=1)
        closing = threading.Event()
        threading.Thread(target=_warm_up, args=(machine, closing), daemon=True).start()
        # Treated as Ctrl+C, so that the folder with uploads is always deleted.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                inbrowser=browser,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=f"{MAX_UPLOAD_MB}mb",
                theme=_theme(gr),
                css=(files("simulator.app") / "style.css").read_text(),
                app_kwargs={"middleware": [Middleware(OwnPageOnly)]},
                **CLOSED,
            )
            print(f"playground on http://{HOST}:{port} (Ctrl+C ends it); pictures stay on this machine", flush=True)
            threading.Event().wait()
        except OSError:
            raise UserError(f"port {port} of {HOST} is in use; choose another with --port") from None
        except KeyboardInterrupt:
            pass
        finally:
            closing.set()
            page.close(verbose=False)


def _warm_up(machine: "Machine", closing: threading.Event) -> None:
    from simulator.app import session

    try:
        session.warm_up(machine)
    except Exception:  # while the program ends, whatever it uses is taken down around it
        if not closing.is_set():
            raise


def _theme(gr: Any) -> Any:
    """Fonts of the reader's system, the blue of our figures, and legible small print."""
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=SANS, font_mono=MONO)
    legible = {"body_text_color_subdued": "*neutral_600", "body_text_color_subdued_dark": "*neutral_300"}
    legible |= {"block_info_text_color": "*neutral_600", "block_info_text_color_dark": "*neutral_300"}
    return theme.set(**legible)


def _check_port(port: int) -> None:
    """Refuse a port in use before anything is loaded."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = error.strerror or "cannot be had"
            raise UserError(f"port {port} of {HOST}: {reason}; choose another with --port") from None


def _quieten(folder: str) -> None:
    """Before Gradio is imported: no telemetry, no look-up of its newest version, no proxy to this machine itself."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = folder
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(part for part in (os.environ.get(name, ""), HOST, "localhost") if part)
