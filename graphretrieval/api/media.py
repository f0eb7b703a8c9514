"""Files of the collection over HTTP: whole or in ranges, with ETags, and small pictures of them."""

from __future__ import annotations

import hashlib
import io
import mimetypes
from collections import OrderedDict
from pathlib import Path

from PIL import Image
from starlette.responses import FileResponse, Response

from graphretrieval.api.problems import Refused
from graphretrieval.api.service import Service
from graphretrieval.errors import UnknownNode
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import ImageContent, Modality, Node

SIDES = (64, 128, 256, 512)
# thumbnails kept in memory, about 10 kB each
KEPT = 2000
#: A picture may hold scripts (SVG); opened on its own it can do nothing.
SANDBOX = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


class Media:
    """Serves what nodes point to, and nothing else of the disk."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._small: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def file(self, ident: str, if_none_match: str | None) -> Response:
        """The content of a node.

        Raises:
            UnknownNode: there is none of that id.
            Refused: it has no file, or the file is gone.
        """
        node = await self._node(ident)
        path = Path(node.uri or "")
        if not path.is_file():
            raise Refused("FILE_GONE", 404, "the node's file is not there", remedy="add it again")
        about = path.stat()
        # the stored digest is of the file as it was read; size and time tell of a change since
        etag = _etag(node.sha256 or "", str(about.st_size), str(about.st_mtime_ns))
        headers = {**_caching(etag), **SANDBOX}
        if _matches(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        kind = node.media_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind.split("/")[0] not in ("image", "audio") and kind != "application/pdf":
            kind = (
                "text/plain; charset=utf-8"
                if kind.startswith("text/")
                else "application/octet-stream"
            )
        return FileResponse(path, headers=headers, media_type=kind, stat_result=about)

    async def thumbnail(self, ident: str, side: int, if_none_match: str | None) -> Response:
        """A picture of at most ``side`` pixels, as WebP.

        Raises:
            UnknownNode: there is none of that id.
            Refused: it is no picture.
        """
        if side not in SIDES:
            side = next((s for s in SIDES if s >= side), SIDES[-1])
        node = await self._node(ident)
        if node.modality != Modality.IMAGE or not node.uri:
            raise Refused(
                "NO_PICTURE", 404, f"only pictures have thumbnails, and this is {node.modality}"
            )
        etag = _etag(node.sha256 or node.id, str(side), "webp1")
        if _matches(etag, if_none_match):
            return Response(status_code=304, headers=_caching(etag))
        key = (node.sha256 or node.id, side)
        data = self._small.get(key)
        if data is None:
            data = await self.service.read(self._draw, node, side)
            self._small[key] = data
            while len(self._small) > KEPT:
                self._small.popitem(last=False)
        return Response(data, media_type="image/webp", headers=_caching(etag))

    def _draw(self, node: Node, side: int) -> bytes:
        def load(reader: MediaReader) -> object:
            return next(iter(reader.load([node])))

        content = self.service.media(load)
        if not isinstance(content, ImageContent):
            assert isinstance(content, Exception)  # a picture or the reason why not
            raise content
        picture = Image.fromarray(content.pixels)
        picture.thumbnail((side, side))
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=82, method=4)
        return out.getvalue()

    async def _node(self, ident: str) -> Node:
        node = (await self.service.read(self.service.kb.store.get, [ident]))[0]
        if node is None:
            raise UnknownNode(f"no node is called {ident[:200]!r}", remedy="check the id")
        if not node.uri:
            raise Refused("NO_FILE", 404, f"{ident[:200]!r} has no file", remedy="see its text")
        return node


def _etag(*parts: str) -> str:
    return f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'


def _caching(etag: str) -> dict[str, str]:
    # private: what a reader may see need not be for the next one; the tag is asked every time
    return {"etag": etag, "cache-control": "private, max-age=300"}


def _matches(etag: str, given: str | None) -> bool:
    tags = [t.strip().removeprefix("W/") for t in (given or "").split(",")]
    return etag in tags or "*" in tags
