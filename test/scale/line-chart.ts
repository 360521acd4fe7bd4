// A chart of lines on logarithmic axes, as SVG: figures over sizes of cluster, with the limits that
// are promised. Text and lines only, so that it reads in any viewer.

export interface Line {
  readonly name: string;
  /** x, y; both above 0. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly lines: readonly Line[];
  /** Drawn across, dashed. */
  readonly limit?: { readonly name: string; readonly y: number };
}

const [WIDTH, HEIGHT] = [640, 360];
const [LEFT, RIGHT, TOP, BOTTOM] = [70, 150, 40, 50];
const COLOURS = ['#1b6ca8', '#c8553d', '#3a7d44', '#7b4b94', '#8a6d1d', '#444444'];

interface Axis {
  readonly ticks: readonly number[];
  place(value: number): number;
}

export function lineChart(chart: Chart): string {
  const { title, xLabel, yLabel, lines, limit } = chart;
  const points = lines.flatMap((line) => line.points);
  const x = axisOf(
    points.map(([at]) => at),
    [LEFT, WIDTH - RIGHT],
  );
  const y = axisOf(
    [...points.map(([, at]) => at), ...(limit ? [limit.y] : [])],
    [HEIGHT - BOTTOM, TOP],
  );
  const parts = [
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(WIDTH / 2, 22, title, 'middle', 15),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, xLabel, 'middle'),
    `<g transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">`,
    text(0, 0, yLabel, 'middle'),
    '</g>',
    ...x.ticks.flatMap((tick) => [
      rule(x.place(tick), TOP, x.place(tick), HEIGHT - BOTTOM),
      text(x.place(tick), HEIGHT - BOTTOM + 18, shown(tick), 'middle'),
    ]),
    ...y.ticks.flatMap((tick) => [
      rule(LEFT, y.place(tick), WIDTH - RIGHT, y.place(tick)),
      text(LEFT - 8, y.place(tick) + 4, shown(tick), 'end'),
    ]),
    ...lines.flatMap((line, at) => drawn(line, at, x, y)),
  ];
  if (limit !== undefined) {
    const at = y.place(limit.y);
    parts.push(rule(LEFT, at, WIDTH - RIGHT, at, '#b00020', '6 4'));
    parts.push(text(WIDTH - RIGHT + 8, at + 4, limit.name, 'start', 12, '#b00020'));
  }
  const size = `viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"`;
  const font = 'font-family="Helvetica, Arial, sans-serif"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>\n${parts.join('\n')}\n</svg>\n`;
}

function axisOf(values: readonly number[], [from, to]: readonly [number, number]): Axis {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, at) => 10 ** (low + at));
  return {
    ticks,
    place: (value) => from + ((to - from) * (Math.log10(value) - low)) / (high - low),
  };
}

function drawn({ name, points }: Line, at: number, x: Axis, y: Axis): string[] {
  const colour = COLOURS[at % COLOURS.length] ?? '#000000';
  const places = points.map(([px, py]) => [x.place(px).toFixed(1), y.place(py).toFixed(1)]);
  const path = places.map((place) => place.join(',')).join(' ');
  const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`);
  const legendY = TOP + 14 + at * 20;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...dots,
    rule(WIDTH - RIGHT + 8, legendY - 4, WIDTH - RIGHT + 28, legendY - 4, colour),
    text(WIDTH - RIGHT + 34, legendY, name, 'start'),
  ];
}

function rule(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  colour = '#dddddd',
  dash = '',
): string {
  const places = [x1, y1, x2, y2].map((place) => place.toFixed(1));
  const [a, b, c, d] = places;
  const dashes = dash === '' ? '' : ` stroke-dasharray="${dash}"`;
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${colour}"${dashes}/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  anchor: 'start' | 'middle' | 'end',
  size = 12,
  colour = '#222222',
): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}"`;
  const look = `font-size="${size}" fill="${colour}" text-anchor="${anchor}"`;
  return `<text ${place} ${look}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;');
}

function shown(value: number): string {
  return value >= 1 ? value.toLocaleString('en') : String(value);
}
