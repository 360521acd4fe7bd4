// The main job, as a newcomer sees it: npm start, from a data file to predictions, and again.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { outsideClient } from '../support/outside-client.ts';
import { dataFolder, startTorus, torus } from '../support/torus-process.ts';

const FIRST_PREDICTION_MS = 60_000;
const STOP_MS = 10_000;

/** The first digit of the data: a zero. */
function firstDigit(): number[] {
  const url = new URL('../testdata/digits/digits.csv', import.meta.url);
  const line = readFileSync(url, 'utf8').split('\n')[1] ?? '';
  return line.split(',').slice(0, 64).map(Number);
}

test('the demo goes from files to predictions, stops, and serves again at once', async (t) => {
  const data = await dataFolder(t);
  const first = await startTorus({ data, flags: ['--demo'] });
  t.teardown(async () => void (await first.end('SIGKILL')));
  await first.sees(/penguins over gRPC/, FIRST_PREDICTION_MS * 2);
  const said = first.stdout();
  t.regex(said, /data set digits: 1,797 rows accepted, 0 rejected/);
  t.regex(said, /data set penguins: 344 rows accepted, 0 rejected/);
  t.regex(said, /model digits: models\/digits\/versions\/1 published/);
  t.regex(said, /differ by at most \d\.\de-[5-9]/);
  for (const name of ['digits', 'penguins']) {
    const accuracy = new RegExp(`${name} over gRPC: accuracy (\\d+\\.\\d)%`).exec(said)?.[1];
    t.true(Number(accuracy) >= 94, `${name}: ${accuracy}`);
  }

  const client = outsideClient(first.grpc);
  t.teardown(() => client.close());
  const answer = await client.call('ModelInfer', {
    model_name: 'digits',
    inputs: [
      {
        name: 'features',
        datatype: 'FP32',
        shape: [1, 64],
        contents: { fp32_contents: firstDigit() },
      },
    ],
  });
  t.is(answer.model_version, '1');
  const predicted = await torus([
    'predict',
    'penguins',
    '{"island":"Torgersen","bill_length_mm":39.1,"bill_depth_mm":18.7,"flipper_length_mm":181,' +
      '"body_mass_g":3750,"sex":null}',
    '--server',
    `http://${first.http}`,
  ]);
  t.is(predicted.code, 0, predicted.stderr);
  t.regex(predicted.stdout, /Adelie/);

  const stopStart = performance.now();
  t.is(await first.end('SIGTERM'), 0, first.stderr());
  t.true(performance.now() - stopStart < STOP_MS);

  const second = await startTorus({ data, flags: ['--demo'] });
  t.teardown(async () => void (await second.end('SIGKILL')));
  await second.sees(/penguins over gRPC/);
  t.notRegex(second.stdout(), /rows accepted/);
  t.regex(second.stdout(), /model digits: published before, served without training again/);
  t.is(await second.end('SIGINT'), 0, second.stderr());
});
