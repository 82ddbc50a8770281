/** How the page of the OpenAPI document looks: by day and by night, wide and narrow, on paper. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--back:#fff;--box:#f6f8fa;--link:#0550ae;--get:#0a5c9e;--post:#116329;--delete:#a40e26}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#343b43;--back:#0d1117;--box:#161b22;--link:#79b8ff;--get:#79b8ff;--post:#6fdd8b;--delete:#ff9492}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);display:grid;grid-template-columns:18rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);font-size:.875rem}
nav h2{font-size:.8rem;margin:1rem 0 .25rem;color:var(--soft);border:0;padding:0}
nav ul{list-style:none;margin:0;padding:0}
nav li a{display:flex;padding:.1rem 0}
nav b{flex:none;width:3.6rem;line-height:1.9;font-size:.7rem}
.brand{font-weight:600;margin:0}
main{padding:1rem 2rem 4rem;max-width:62rem}
h1 small{font-size:1rem;color:var(--soft);font-weight:400}
h2{margin:2.5rem 0 .5rem;padding-top:.5rem;border-top:2px solid var(--line)}
h3{margin:0 0 .25rem;font-size:1.1rem}
article,section{margin:1rem 0;padding:1rem;border:1px solid var(--line);border-radius:6px}
article:target,section:target{border-color:var(--link);box-shadow:0 0 0 1px var(--link)}
a{color:var(--link);text-decoration:none}
a:hover,a:focus{text-decoration:underline}
p{margin:.5rem 0}
ul{margin:.25rem 0;padding-left:1.25rem}
code{font:.875em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
pre{background:var(--box);border:1px solid var(--line);border-radius:6px;padding:.75rem;overflow:auto;margin:.75rem 0}
pre code{overflow-wrap:normal}
.path code{font-size:1rem}
b.get{color:var(--get)}b.post{color:var(--post)}b.delete{color:var(--delete)}
.scope{font-size:.75rem;font-weight:600;border:1px solid;border-radius:1rem;padding:.05rem .5rem;vertical-align:middle;white-space:nowrap;color:var(--get)}
.scope.control,.scope.run{color:var(--post)}.scope.admin{color:var(--delete)}.scope.none{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.75rem 0;font-size:.9rem}
td{border-top:1px solid var(--line);padding:.4rem .75rem .4rem 0;vertical-align:top}
td:first-child{white-space:nowrap}
td p{margin:0}
small{color:var(--soft)}
dl{display:grid;grid-template-columns:3rem minmax(0,1fr);margin:.75rem 0 0;font-size:.9rem}
dt{font-weight:600;color:var(--delete)}dt.s2{color:var(--post)}
dd{margin:0 0 .25rem}dd p,dd ul{margin:0}dd ul{list-style:none;padding:0}
@media (max-width:56rem){body{display:block}nav{position:static;height:auto;border:0;border-bottom:1px solid var(--line)}main{padding:1rem}}
@media print{nav{display:none}body{display:block}article,section{break-inside:avoid}}
`
