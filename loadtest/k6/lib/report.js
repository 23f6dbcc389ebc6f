// The report of a run from k6's summary, in Markdown and as one HTML file without external
// resources. It omits the data of setup, which contain keys.
//
//   OUT          folder for NAME.json, NAME.md and NAME.html
//   FACTS        JSON object of facts about the run, {"machine": "…"}
//   REPORT_WITH  files NAME.json of earlier runs, separated by commas: report.md and
//                report.html contain these, followed by this run

// reporter returns the handleSummary of a script; model documents the parameter.
export function reporter(script) {
  // open works only in the init context.
  const earlier = (__ENV.REPORT_WITH || '').split(',').filter(Boolean).map((path) => JSON.parse(open(path)));
  return (data) => {
    const facts = JSON.parse(__ENV.FACTS || '{}');
    const mine = model(script, data);
    const out = { stdout: `\n${markdown(facts, [mine])}\n` };
    if (__ENV.OUT) {
      const put = (name, text) => { out[`${__ENV.OUT}/${name}`] = text; };
      put(`${script.name}.json`, JSON.stringify(mine, null, 2) + '\n');
      put(`${script.name}.md`, markdown(facts, [mine]));
      put(`${script.name}.html`, html(facts, [mine]));
      put('report.md', markdown(facts, [...earlier, mine]));
      put('report.html', html(facts, [...earlier, mine]));
    }
    return out;
  };
}

const durations = /^http_req_duration\{(.*)\}$/;

// model returns the content of the report from k6's summary. script is {name, title, about,
// rates: [{metric, label, seconds, due}]}; rates are counters to show per second.
export function model(script, data) {
  const metrics = data.metrics || {};
  const requests = [];
  const limits = [];
  const never = [];
  for (const [name, metric] of Object.entries(metrics)) {
    const values = metric.values || {};
    const states = Object.entries(metric.thresholds || {}).map(([limit, state]) => ({ limit, ok: state.ok }));
    const seen = { trend: values.count > 0, rate: values.passes + values.fails > 0 }[metric.type] ?? true;
    const tags = durations.exec(name);
    if (name.endsWith('{expected_response:true}')) continue; // k6 adds it
    if (!seen) {
      // A threshold of a metric without samples proves nothing.
      if (states.length > 0) never.push(tags ? readable(tags[1]) : name);
    } else if (tags) {
      requests.push({ kind: readable(tags[1]), ...trend(values), limits: states });
    } else {
      for (const { limit, ok } of states) limits.push({ metric: name, limit, value: measured(metric), ok });
    }
  }
  requests.sort(by((r) => r.kind));
  limits.sort(by((l) => l.metric + l.limit));
  const rates = (script.rates || []).map(({ metric, label, seconds, due }) => ({
    label, value: ((metrics[metric] || {}).values || {}).count / seconds || 0, due,
  }));
  return {
    name: script.name,
    title: script.title,
    about: script.about,
    seconds: (data.state.testRunDurationMs || 0) / 1000,
    rates,
    requests,
    limits,
    checks: merged(checksOf(data.root_group)).sort(by((c) => c.name)),
    site: (data.setup_data || {}).site,
    accepted: ((metrics.events_accepted || {}).values || {}).count,
    left: (data.setup_data || {}).left || [],
    never: never.sort(),
    ok: [...requests.flatMap((r) => r.limits), ...limits].every((l) => l.ok),
  };
}

function by(key) {
  return (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
}

// readable turns "kind:batch,phase:steady" into "batch, steady".
function readable(tags) {
  return tags.split(',').map((tag) => tag.replace(/^[a-z]+:/, '')).join(', ');
}

function trend(v) {
  return { count: v.count, p50: v.med, p95: v['p(95)'], p99: v['p(99)'], p999: v['p(99.9)'], max: v.max };
}

function measured({ type, values }) {
  if (type === 'counter') return String(values.count);
  if (type === 'rate') return `${(100 * values.rate).toFixed(3)} %`;
  return String(values.value ?? values['p(99)'] ?? '');
}

function checksOf(group) {
  if (!group) return [];
  return [...(group.checks || []).map(({ name, passes, fails }) => ({ name, passes, fails })), ...(group.groups || []).flatMap(checksOf)];
}

// merged adds up the checks of all groups by name.
function merged(checks) {
  const sums = new Map();
  for (const { name, passes, fails } of checks) {
    const sum = sums.get(name) || { name, passes: 0, fails: 0 };
    sums.set(name, { name, passes: sum.passes + passes, fails: sum.fails + fails });
  }
  return [...sums.values()];
}

// tables returns the tables of Markdown and HTML. Columns are numbers, except for the first
// one and those in text.
function tables(run) {
  const state = (ok) => (ok ? 'met' : 'NOT MET');
  return [
    {
      head: ['rate', 'per second', 'wanted'],
      rows: run.rates.map((r) => [r.label, thousands(r.value), thousands(r.due)]),
    },
    {
      head: ['requests', 'number', 'p50 ms', 'p95', 'p99', 'p99.9', 'max', 'threshold'],
      text: [7],
      rows: run.requests.map((r) => [
        r.kind, thousands(r.count), ...[r.p50, r.p95, r.p99, r.p999, r.max].map(ms),
        r.limits.map((l) => `${l.limit} ${state(l.ok)}`).join(', ') || 'none',
      ]),
    },
    {
      head: ['metric', 'value', 'threshold', ''],
      text: [2, 3],
      rows: run.limits.map((l) => [l.metric, l.value, l.limit, state(l.ok)]),
    },
    {
      head: ['check', 'passed', 'failed'],
      rows: run.checks.map((c) => [c.name, thousands(c.passes), thousands(c.fails)]),
    },
  ].filter((table) => table.rows.length > 0);
}

function notes(run) {
  return [
    ...(run.left.length > 0 ? [`Not measured, because the platform did not serve it: ${run.left.join('; ')}.`] : []),
    ...(run.never.length > 0 ? [`No samples in this run: ${run.never.join('; ')}.`] : []),
  ];
}

function verdict(run) {
  return `${run.seconds.toFixed(0)} s; ${run.ok ? 'all thresholds are met' : 'THRESHOLDS ARE NOT MET'}.`;
}

function ms(value) {
  if (value === undefined || value === null) return '';
  return value.toFixed(value < 100 ? 2 : 0);
}

function thousands(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

// markdown writes runs, with columns aligned in plain text.
export function markdown(facts, runs) {
  const lines = ['# Load test', '', ...Object.entries(facts).map(([k, v]) => `- ${k}: ${inline(v)}`), ''];
  for (const run of runs) {
    lines.push(`## ${run.title}`, '', inline(run.about), '', verdict(run), '');
    for (const { head, rows, text = [] } of tables(run)) {
      const cells = [head, ...rows].map((row) => row.map(cell));
      const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => row[i].length)));
      const right = (i) => i > 0 && !text.includes(i);
      const line = (row) => `| ${row.map((c, i) => (right(i) ? c.padStart(widths[i]) : c.padEnd(widths[i]))).join(' | ')} |`;
      const rule = `| ${widths.map((w, i) => (right(i) ? '-'.repeat(w - 1) + ':' : '-'.repeat(w))).join(' | ')} |`;
      lines.push(line(cells[0]), rule, ...cells.slice(1).map(line), '');
    }
    for (const note of notes(run)) lines.push(inline(note), '');
  }
  return lines.join('\n');
}

// inline escapes text for Markdown: no line breaks, and no tags.
function inline(value) {
  return String(value).replace(/\s+/g, ' ').replace(/<(?=[a-z!/?])/gi, '&lt;');
}

function cell(value) {
  return inline(value).replace(/\|/g, '\\|');
}

const style = `body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}h2{margin-top:2.5rem}table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid #d5dae1;padding:.25rem .75rem;text-align:right}th{color:#56606e;font-weight:600}
.t{text-align:left}.bad{color:#b3261e;font-weight:600}.good{color:#1d6b3a;font-weight:600}dt{float:left;clear:left;width:8rem;color:#56606e}dd{margin-left:8.5rem}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dfe4ea}th,dt{color:#97a3b2}th,td{border-color:#2c343f}.bad{color:#ff8a80}.good{color:#7ad69b}}`;

// html writes the same as one page without scripts and external resources.
export function html(facts, runs) {
  const tag = (name, content, cls) => `<${name}${cls ? ` class="${cls}"` : ''}>${content}</${name}>`;
  const header = Object.entries(facts).map(([k, v]) => tag('dt', escaped(k)) + tag('dd', escaped(v)));
  const body = [tag('h1', 'Load test'), tag('dl', header.join(''))];
  for (const run of runs) {
    body.push(tag('h2', escaped(run.title)), tag('p', escaped(run.about)), tag('p', escaped(verdict(run)), run.ok ? 'good' : 'bad'));
    for (const { head, rows, text = [] } of tables(run)) {
      const cls = (i, value) => [i === 0 || text.includes(i) ? 't' : '', /NOT MET/.test(value) ? 'bad' : ''].join(' ').trim();
      const row = (name, cells) => tag('tr', cells.map((c, i) => tag(name, escaped(c), cls(i, c))).join(''));
      body.push(tag('table', tag('thead', row('th', head)) + tag('tbody', rows.map((cells) => row('td', cells)).join('\n'))));
    }
    for (const note of notes(run)) body.push(tag('p', escaped(note)));
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Load test</title><style>${style}</style></head><body>
${body.join('\n')}
</body></html>
`;
}

function escaped(value) {
  return String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
