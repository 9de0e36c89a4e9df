"""Activation slips on paper: A4, eight a page with cut lines, one HTML page without anything from outside."""

import html
from collections.abc import Sequence

from server.auth.codes import Made
from server.places.rules import BEIJING

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The Content-Security-Policy of the page: it may load nothing and run nothing."""

_STYLE = """
@page { size: A4; margin: 10mm; }
* { box-sizing: border-box; }
body { margin: 0; font-family: "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", SimHei, sans-serif;
       color: #000; font-size: 11pt; }
.page { display: grid; grid-template-columns: 1fr 1fr; grid-auto-rows: 69mm; break-after: page; }
.page:last-child { break-after: auto; }
.slip { border: 0.3mm dashed #555; padding: 4mm 5mm; break-inside: avoid; overflow: hidden; }
h2 { margin: 0 0 2mm; font-size: 13pt; }
dl { margin: 0; display: grid; grid-template-columns: 18mm 1fr; row-gap: 1mm; }
dt { color: #333; } dd { margin: 0; overflow-wrap: anywhere; }
.code { font-family: "DejaVu Sans Mono", Consolas, monospace; font-size: 16pt; font-weight: bold; letter-spacing: 0.5mm; }
.note { margin: 2mm 0 0; font-size: 8.5pt; line-height: 1.35; }
.head { padding: 2mm 0; font-size: 9pt; } @media print { .head { display: none; } }
"""

NOTICE = (
    "本系统只在您点“签到”时记录一次位置，用于核对驻村天数，不记录行踪、不排名。"
    "您可以随时查看自己的全部记录，对结果有异议可以申辩；请勿把激活码和密码告诉他人。"
)
"""What every holder must be told before the first login, in two sentences."""

_A_PAGE = 8


def page(slips: Sequence[Made], server_address: str, owner: str) -> str:
    """Return the printable page. Every value is escaped: a name is text, whatever it holds."""
    pages = [slips[i : i + _A_PAGE] for i in range(0, len(slips), _A_PAGE)]
    body = "".join(
        f'<section class="page">{"".join(_slip(one, server_address) for one in group)}</section>'
        for group in pages
    )
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8"><title>在村 账号激活条</title>'
        f"<style>{_STYLE}</style></head><body>"
        f'<p class="head">{html.escape(owner)} · 在村 账号激活条，共 {len(slips)} 条。'
        "激活码只显示这一次；此前为这些账号打印的激活码已作废。请沿虚线裁开，当面交给本人。</p>"
        f"{body}</body></html>"
    )


def _slip(one: Made, server_address: str) -> str:
    until = one.expires_at.astimezone(BEIJING).strftime("%Y年%m月%d日 %H:%M")
    rows = (
        ("姓名", html.escape(one.account.display_name), ""),
        ("登录名", html.escape(one.account.login), ""),
        ("激活码", html.escape(one.code), ' class="code"'),
        ("有效期至", f"{until}（只能用一次）", ""),
        ("网址", html.escape(server_address), ""),
    )
    lines = "".join(f"<dt>{name}</dt><dd{kind}>{value}</dd>" for name, value, kind in rows)
    return f'<article class="slip"><h2>在村 · 账号激活</h2><dl>{lines}</dl><p class="note">{NOTICE}</p></article>'
