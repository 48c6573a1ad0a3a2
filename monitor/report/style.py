"""The report's style sheet: light and dark, on screen and on paper."""

STYLE = """
:root { color-scheme: light dark;
  --back: #fff; --text: #1c2128; --dim: #59636e; --line: #d8dee4; --card: #f6f8fa;
  --good: #1a7f37; --bad: #cf222e; --link: #0969da;
  --s0: #0969da; --s1: #bc4c00; --s2: #1a7f37; --s3: #8250df; --s4: #bf3989; --s5: #9a6700;
  --s6: #6e7781; }
@media (prefers-color-scheme: dark) { :root {
  --back: #0d1117; --text: #e6edf3; --dim: #9198a1; --line: #30363d; --card: #161b22;
  --good: #3fb950; --bad: #ff7b72; --link: #4493f8;
  --s0: #4493f8; --s1: #f0883e; --s2: #3fb950; --s3: #ab7df8; --s4: #f778ba; --s5: #d29922;
  --s6: #9198a1; } }
body { margin: 0 auto; max-width: 900px; padding: 20px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 4px; }
p { margin: 4px 0; } .dim, figcaption { color: var(--dim); font-size: 13px; }
a { color: var(--link); } a:focus-visible, summary:focus-visible { outline: 2px solid; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); } .good { stroke: var(--good); opacity: .55; }
.bad { stroke: var(--bad); stroke-width: 2; opacity: .8; } .mark { stroke: var(--text); }
.good-fill { fill: var(--good); } .bad-fill { fill: var(--bad); }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); }
.s3 { fill: var(--s3); } .s4 { fill: var(--s4); } .s5 { fill: var(--s5); } .s6 { fill: var(--s6); }
.key { display: inline-block; width: 10px; height: 10px; margin: 0 6px 0 0; border-radius: 2px; }
.key.s0 { background: var(--s0); } .key.s1 { background: var(--s1); }
.key.s2 { background: var(--s2); } .key.s3 { background: var(--s3); }
.key.s4 { background: var(--s4); } .key.s5 { background: var(--s5); }
.key.s6 { background: var(--s6); }
.legend span { margin-right: 16px; font-size: 13px; overflow-wrap: anywhere; }
figure { margin: 8px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px 12px; }
.tile b { display: block; font-size: 20px; } .tile span { color: var(--dim); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 3px 8px; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th, td.w, td.n { white-space: nowrap; } th.n, td.n { text-align: right; }
article { border-top: 1px solid var(--line); padding: 8px 0 12px; }
article:target { background: var(--card); } article h3 { font-size: 15px; margin: 0; }
pre { background: var(--card); padding: 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
