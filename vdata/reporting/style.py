"""How the page looks, and the little that it does: pictures are shown large."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--ground:#f6f6f3;--card:#fff;--ink:#1f2328;--soft:#646b73;--line:#e2e3e5;--accent:#3d6bd6;--bad:#c2352b;--good:#2a8a57;
--red:#d64545;--green:#2f9e57;--blue:#3d6bd6;--grey:#70767d;--none:#d4d6d9;--hidden:#e0a13a;--seen:#2a8a57}
@media (prefers-color-scheme:dark){:root{--ground:#121416;--card:#1b1e21;--ink:#e6e8ea;--soft:#9ba2a9;--line:#2e3338;--accent:#86a8ff;--bad:#ff7d73;--good:#5ecb91;
--red:#ff7d73;--green:#5ecb91;--blue:#86a8ff;--grey:#a3a9af;--none:#3a4047;--hidden:#e8b35c;--seen:#5ecb91}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1400px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px}
h3{font-size:14px;margin:0 0 8px;overflow-wrap:anywhere}
p{margin:0 0 10px}
a{color:var(--accent)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:14px 0 0;font-size:14px}
nav a{text-decoration:none}
nav a:hover{text-decoration:underline}
.soft,figcaption{color:var(--soft);font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:18px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tile b{display:block;font-size:22px;line-height:1.3}
.tile.bad b{color:var(--bad)}
.tile.good b{color:var(--good)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:14px}
.chart{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:0;min-width:0}
.chart.wide{grid-column:1/-1}
.chart.wide .bars{columns:2 420px;display:block}
.chart.wide .bars>*{break-inside:avoid}
.chart svg{display:block;width:100%;max-width:560px;height:auto;margin:0 auto}
.chart svg[viewBox="0 0 236 236"]{max-width:270px}
.chart figcaption{margin-top:8px}
.fact{display:inline-block;margin-right:14px}
.fact b{color:var(--ink);font-weight:600}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:var(--soft)}
svg .name{fill:var(--ink)}
.grid{stroke:var(--line)}
.axis{stroke:var(--soft)}
.bar{fill:var(--accent)}
.ground,.ring{fill:none;stroke:var(--line)}
.dot{fill:var(--accent);fill-opacity:.45;stroke:var(--accent)}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.sector{stroke:var(--card);stroke-width:.6}
.line.red{stroke:var(--red)}.line.green{stroke:var(--green)}.line.blue{stroke:var(--blue)}.line.grey{stroke:var(--grey)}
.bars{display:grid;grid-template-columns:minmax(60px,auto) 1fr auto;gap:5px 10px;align-items:center;font-size:13px}
.chart.wide .row{display:grid;grid-template-columns:140px 1fr 100px;gap:10px;align-items:center;padding:2px 12px 3px 0}
.row{display:contents}
.what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;max-width:170px}
.said{color:var(--soft);white-space:nowrap;text-align:right}
.track{height:13px;border-radius:3px;background:color-mix(in srgb,var(--line) 55%,transparent);overflow:hidden;display:flex}
.track>span{display:block;height:100%;background:var(--accent);border-radius:3px}
.stack>span{border-radius:0}
.track>.none,.chip.none{background:var(--none)}.track>.hidden,.chip.hidden{background:var(--hidden)}.track>.seen,.chip.seen{background:var(--seen)}
.chip.red{background:var(--red)}.chip.green{background:var(--green)}.chip.blue{background:var(--blue)}.chip.grey{background:var(--grey)}
.legend{display:flex;flex-wrap:wrap;gap:4px 6px;align-items:center;font-size:12px;color:var(--soft);margin:8px 0 0}
.legend span{margin-right:10px}
.chip{width:12px;height:12px;border-radius:3px;display:inline-block}
.gallery{display:flex;flex-wrap:wrap;gap:14px}
.sample{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px;margin:0;max-width:100%}
.sample>div{display:flex;flex-wrap:wrap;gap:8px}
.sample>figcaption{margin:0 0 6px;color:var(--ink);overflow-wrap:anywhere}
.pic{border:0;padding:0;margin:0;background:none;cursor:zoom-in;color:var(--soft);font:12px/1.4 inherit;text-align:left;max-width:100%}
.pic img{display:block;height:150px;max-width:100%;object-fit:contain;border-radius:4px}
.many .pic img{height:96px}
.pic span{display:block;font-size:12px;max-width:200px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.pic:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.wheel{display:flex;gap:14px;align-items:center;margin-top:14px}
.wheel img{width:84px;height:84px;border-radius:50%}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:4px 14px}
table{border-collapse:collapse;font-size:13.5px;width:100%}
th,td{text-align:left;vertical-align:top;padding:7px 16px 7px 0;border-top:1px solid var(--line);overflow-wrap:break-word;min-width:60px;max-width:44em}
.listed{min-width:640px}
tr:first-child>th{border-top:0}
.plain td:first-child{color:var(--soft);width:110px}
td .pic img{height:80px;max-width:160px}
td .pic span{display:none}
dialog{border:0;border-radius:10px;padding:14px;background:var(--card);color:var(--ink);max-width:96vw}
dialog::backdrop{background:rgba(0,0,0,.7)}
dialog img{display:block;max-width:92vw;max-height:84vh;min-width:min(70vw,640px);min-height:200px;object-fit:contain;image-rendering:auto}
dialog p{margin:8px 0 0;font-size:13px}
@media (max-width:560px){main{padding:16px 12px 40px}h1{font-size:21px}.pic img{height:110px}td .pic img{height:56px;max-width:90px}.chart{padding:12px 10px}.chart.wide .row{grid-template-columns:110px 1fr 90px}}
"""

JS = """
const large = document.getElementById('large'), image = large.querySelector('img'), words = large.querySelector('p');
const all = [...document.querySelectorAll('.pic')];
let at = 0;
function show(n) {
  at = (n + all.length) % all.length;
  image.src = all[at].querySelector('img').src;
  words.textContent = all[at].title;
  if (!large.open) large.showModal();
}
all.forEach((one, n) => one.addEventListener('click', () => show(n)));
large.addEventListener('click', () => large.close());
large.addEventListener('keydown', e => {
  if (e.key === 'ArrowRight') show(at + 1);
  if (e.key === 'ArrowLeft') show(at - 1);
});
"""
