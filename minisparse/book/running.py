"""Run a chapter in a notebook's kernel: cells with their outputs."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from minisparse.machine import unrestricted

from .chapters import BookError

TIMEOUT = 600  # seconds for a cell, and for the kernel to start


def tools(*names: str) -> list[Any]:
    """Import what only the book's builders need.

    Raises
    ------
    BookError
        Something is not installed.
    """
    from importlib import import_module

    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        raise BookError(
            f"building the book needs {error.name}: pip install 'minisparse[docs]', or, in the "
            "source, pip install -e '.[docs]'"
        ) from error


def run_chapter(text: str, where: Path, name: str) -> Any:
    """Run the text of a chapter and return the notebook.

    Parameters
    ----------
    text : str
        In the percent format.
    where : Path
        The folder to run it in.
    name : str
        For messages.

    Raises
    ------
    BookError
        A cell raised, or wrote to standard error (a warning, as a rule).
    """
    jupytext, nbclient, exceptions, jupyter = tools(
        "jupytext", "nbclient", "nbclient.exceptions", "jupyter_client"
    )
    notebook = jupytext.reads(text, fmt="py:percent")
    with tempfile.TemporaryDirectory() as sockets:
        kernel = jupyter.AsyncKernelManager(kernel_name="python3")
        if os.name != "nt":  # no network, not even that of one machine
            kernel.transport, kernel.ip = "ipc", str(Path(sockets, "kernel"))
        client = nbclient.NotebookClient(
            notebook,
            km=kernel,
            timeout=TIMEOUT,
            startup_timeout=TIMEOUT,
            resources={"metadata": {"path": where}},
        )
        client.log.setLevel(logging.WARNING)
        try:
            # `execute` would leave its event loop open in a thread that is not the main one.
            # A page may show times: nobody is kept from his best kernels.
            asyncio.run(client.async_execute(cleanup_kc=True, env=unrestricted()))
        except exceptions.CellExecutionError as error:
            raise BookError(f"{name}: a cell failed\n{error}") from None
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                raise BookError(f"{name}: a cell wrote to standard error:\n{output.text}")
    return notebook
