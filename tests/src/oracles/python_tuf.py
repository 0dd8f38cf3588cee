# The client of python-tuf as a judge. One case a line on standard input, one verdict a line on standard output.
#
# Nothing is fetched: the case holds the files of each step. Read next: `../oracles.rs`, which asks.

import base64
import json
import logging
import os
import sys
import tempfile

import tuf
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

BASE = "http://mirror/"


class Held(FetcherInterface):
    """Serves the files of one step."""

    def __init__(self, files):
        self.files = files

    def _fetch(self, url):
        held = self.files.get(url[len(BASE):])
        if held is None:
            raise DownloadHTTPError("not there", 404)
        return iter([base64.b64decode(held)])


def found(updater, path):
    """`LENGTH SHA256` of a listed file, `none`, or `error: why`."""
    try:
        info = updater.get_targetinfo(path)
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"[:200]
    if info is None:
        return "none"
    digest = info.hashes.get("sha256")
    return f"{info.length} {digest.lower()}" if digest else "error"


def judge(case):
    """What the client says of each step, with the metadata that it keeps between them."""
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for number, files in enumerate(case["steps"]):
            try:
                root = base64.b64decode(case["root"]) if number == 0 else None
                updater = Updater(folder, BASE, fetcher=Held(files), bootstrap=root)
                updater.refresh()
            except Exception as error:
                said = f"{type(error).__name__}: {error}"[:200]
                verdicts.append({"refreshed": False, "found": [], "said": said})
                continue
            listed = [found(updater, path) for path in case["paths"]]
            verdicts.append({"refreshed": True, "found": listed, "said": ""})
    return verdicts


logging.disable(logging.CRITICAL)
os.umask(0o077)
print(f"python-tuf {tuf.__version__}", flush=True)
for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))), flush=True)
