"""The documents that the service itself hands out, so that a developer on an intranet needs nothing else.

``/docs`` is Swagger UI from an installed package, with a policy that lets the browser load nothing from anywhere else;
``/openapi.json``, ``/docs/guide`` and ``/docs/changes`` are what stands in mobile_api_docs; ``/problems/{code}`` is
where the ``type`` of every problem leads. All are made once, answered with an ETag, and packed where the browser
takes it.
"""

import gzip
import hashlib
import html
import importlib.resources
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response

from server import preconditions, problems
from server.problems import Kind, Problem

router = APIRouter(include_in_schema=False)
_PACKAGE, _ASSETS = (
    "fastapi_swagger.resources",
    ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"),
)
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",  # Browsers show it; text/markdown they would save.
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Scripts and styles are files of this server, and none stands in the page."""
PLAIN_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
FOR_EVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
_BEGIN = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""
_FOLDERS = (Path(__file__).with_name("texts"), Path(__file__).resolve().parent.parent / "mobile_api_docs")
"""Where the texts are: beside this file when installed, in the source tree otherwise."""


@dataclass(frozen=True, slots=True)
class Paper:
    """One document, ready to send."""

    content: bytes
    packed: bytes | None
    media_type: str
    tag: str
    keep: str
    policy: str

    @classmethod
    def of(cls, content: bytes, suffix: str, *, keep: str = ASK_AGAIN, policy: str = PLAIN_POLICY) -> "Paper":
        """Make a document; it is packed when that saves something."""
        packed = gzip.compress(content, 9, mtime=0)
        mark = hashlib.sha256(content).hexdigest()[:32]
        return cls(
            content, packed if len(packed) < len(content) else None, _TYPES[suffix], mark, keep, policy
        )


def _sent(paper: Paper, request: Request) -> Response:
    packed = paper.packed if _takes_gzip(request.headers.get("accept-encoding", "")) else None
    # The packed and the plain content are two representations, so their tags differ (RFC 9110 section 8.8.3.3).
    tag = preconditions.tag(paper.tag, "gzip") if packed else preconditions.tag(paper.tag)
    headers = {
        "ETag": tag,
        "Cache-Control": paper.keep,
        "Content-Security-Policy": paper.policy,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if preconditions.has_copy(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = paper.media_type
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(packed or paper.content, headers=headers)


def _takes_gzip(header: str) -> bool:
    for part in header[:1_000].lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


# --- the interactive document


@cache
def _asset(name: str) -> Paper:
    content = (
        _BEGIN if name == "begin.js" else importlib.resources.files(_PACKAGE).joinpath(name).read_bytes()
    )
    return Paper.of(content, Path(name).suffix, keep=FOR_EVER)


def address_of(name: str) -> str:
    """Return the address of an asset; it changes with the content, so that browsers may keep it for ever."""
    return f"docs/{_asset(name).tag[:16]}/{name}"


@cache
def _docs_page(title: str) -> Paper:
    script, style, icon, begin = (address_of(name) for name in (*_ASSETS, "begin.js"))
    page = f"""<!DOCTYPE html>
<html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><link rel="stylesheet" href="{style}"><link rel="icon" href="{icon}"></head>
<body><p><a href="docs/guide">手机开发指南 Guide</a> · <a href="docs/changes">变化 Changes</a> ·
<a href="problems">错误代码 Problems</a> · <a href="openapi.json">openapi.json</a></p>
<div id="swagger-ui"></div><script src="{script}"></script><script src="{begin}"></script></body></html>
"""
    return Paper.of(page.encode(), ".html", policy=POLICY)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show the interface, to be tried out in the browser (Swagger UI)."""
    return _sent(_docs_page(request.app.title), request)


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    """Return the OpenAPI document, made once."""
    state = request.app.state
    if not hasattr(state, "openapi_paper"):
        state.openapi_paper = Paper.of(orjson.dumps(request.app.openapi()), ".json")
    return _sent(state.openapi_paper, request)


# --- texts


@cache
def _text(name: str) -> Paper:
    found = next((folder / name for folder in _FOLDERS if (folder / name).is_file()), None)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return Paper.of(found.read_bytes(), ".md")


@router.get("/docs/guide")
def guide(request: Request) -> Response:
    """Return the guide for phone developers."""
    return _sent(_text("guide.md"), request)


@router.get("/docs/changes")
def changes(request: Request) -> Response:
    """Return what changed for phones, by the date of the interface."""
    return _sent(_text("CHANGES.md"), request)


@router.get("/docs/{mark}/{name}")
def asset(mark: str, name: str, request: Request) -> Response:
    """Return a file of the interactive document."""
    if name not in {*_ASSETS, "begin.js"} or address_of(name) != f"docs/{mark}/{name}":
        raise Problem(problems.NOT_FOUND)
    return _sent(_asset(name), request)


# --- problems


def _page(title: str, body: str) -> Paper:
    return Paper.of(
        f'<!DOCTYPE html>\n<html lang="zh"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>\n'
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n".encode(),
        ".html",
    )


def _row(kind: Kind, prefix: str) -> str:
    return (
        f'<tr><td><a href="{prefix}{kind.code}">{kind.code}</a></td><td>{kind.status}</td>'
        f"<td>{html.escape(kind.zh)}</td><td lang='en'>{html.escape(kind.en)}</td></tr>"
    )


@cache
def _problems_page() -> Paper:
    kinds = sorted(problems.registry().values(), key=lambda kind: (kind.status, kind.code))
    head = "<tr><th>code</th><th>status</th><th>中文</th><th lang='en'>English</th></tr>"
    return _page(
        "错误代码 · Problems", f"<table>{head}{''.join(_row(kind, 'problems/') for kind in kinds)}</table>"
    )


@cache
def _problem_page(kind: Kind) -> Paper:
    return _page(
        f"{kind.code} · {kind.status}",
        f"<p>{html.escape(kind.zh)}。</p><p lang='en'>{html.escape(kind.en)}.</p>"
        "<p>发生了什么、该怎么办，见答复中的 detail；手机如何处理，见<a href='../docs/guide'>指南</a>第 18 节。</p>"
        "<p lang='en'>What happened and what to do is in the answer's <code>detail</code>; how a phone treats it is in "
        "section 18 of the <a href='../docs/guide'>guide</a>. All: <a href='../problems'>problems</a>.</p>",
    )


@router.get("/problems")
def all_problems(request: Request) -> Response:
    """Show every kind of problem."""
    return _sent(_problems_page(), request)


@router.get("/problems/{code}")
def one_problem(code: str, request: Request) -> Response:
    """Show what a problem's ``type`` stands for (RFC 9457 section 3.1.1)."""
    kind = problems.registry().get(code)
    if kind is None:
        raise Problem(problems.NOT_FOUND)
    return _sent(_problem_page(kind), request)
