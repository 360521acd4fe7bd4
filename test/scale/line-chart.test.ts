import test from 'ava';
import { lineChart } from './line-chart.ts';

test('points lie where their logarithms are, the limit across', (t) => {
  const svg = lineChart({
    ...{ title: 'a < b', xLabel: 'x', yLabel: 'y' },
    lines: [
      {
        name: 'one',
        points: [
          [10, 1],
          [100, 10],
          [1_000, 100],
        ],
      },
    ],
    limit: { name: 'limit', y: 10 },
  });
  const places = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((found) => [
    Number(found[1]),
    Number(found[2]),
  ]);
  const [[x1 = 0, y1 = 0] = [], [x2 = 0, y2 = 0] = [], [x3 = 0, y3 = 0] = []] = places;
  t.true(Math.abs(x2 - x1 - (x3 - x2)) < 0.2 && x1 < x2);
  t.true(Math.abs(y1 - y2 - (y2 - y3)) < 0.2 && y1 > y2);
  t.true(svg.includes('stroke-dasharray'));
  t.true(svg.includes('a &lt; b'));
});
