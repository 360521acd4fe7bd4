// torus train: starts a training job on a sealed data set and follows it.
import type { Command } from 'commander';
import { z } from 'zod';
import { MAX_HELD_OUT_RATIO, MIN_HELD_OUT_RATIO } from '../../catalog/documents.ts';
import { invalidArgument } from '../../common/status.ts';
import { DEFAULT_HELD_OUT_RATIO, TRAINING_DEFAULTS } from '../../control/admin/training-spec.ts';
import { Job } from '../../proto/gen/torus/v1/job.ts';
import { flagOf } from '../flags.ts';
import { type CommandContext, clientCommand, followJob, lastPart } from './context.ts';
import { showJob } from './jobs.ts';

const EXAMPLES = `
Examples:
  torus train --dataset digits --target target --model digits
  torus train --dataset penguins --target species --model penguins --epochs 40 --hidden 32
  torus train --dataset digits --target target --model digits-cnn --algorithm cnn \\
      --image-shape 8,8,1 --epochs 10
  torus train --dataset homes --target price --model homes --algorithm linear --detach
`;

const whole = (least: number) =>
  z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= least, `must be at least ${least}`);

const wholes = z
  .string()
  .regex(/^\d{1,15}(,\d{1,15})*$/, 'must be whole numbers with commas between, like 64,32')
  .transform((text) => text.split(',').map(Number));

const number = z
  .string()
  .refine((text) => text !== '' && Number.isFinite(Number(text)), 'must be a number')
  .transform(Number);

const flags = z.object({
  dataset: z.string(),
  target: z.string(),
  model: z.string(),
  features: z
    .string()
    .transform((text) => text.split(',').map((name) => name.trim()))
    .default([]),
  algorithm: z.enum(['linear', 'mlp', 'cnn']).default('mlp'),
  task: z.enum(['classification', 'regression']).optional(),
  epochs: whole(1).optional(),
  batchSize: whole(1).optional(),
  // The server takes 0 for no word about it.
  learningRate: number.refine((value) => value > 0, 'must be more than 0').optional(),
  hidden: wholes.optional(),
  imageShape: wholes.optional(),
  heldOut: number
    .refine((value) => value >= MIN_HELD_OUT_RATIO && value <= MAX_HELD_OUT_RATIO, {
      error: `must be a share, ${MIN_HELD_OUT_RATIO} to ${MAX_HELD_OUT_RATIO}`,
    })
    .optional(),
  seed: whole(Number.MIN_SAFE_INTEGER).optional(),
  promote: z.boolean().default(true),
});

/** The JSON of torus.v1.TrainingSpec. @throws INVALID_ARGUMENT with all that is wrong. */
export function trainingSpec(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const parsed = flags.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const key = String(issue.path[0] ?? '');
      return `${flagOf(key)} ${JSON.stringify(given[key])}: ${issue.message}`;
    });
    throw invalidArgument(lines.join('\n'));
  }
  if (parsed.data.algorithm === 'cnn' && parsed.data.imageShape === undefined) {
    throw invalidArgument(
      '--algorithm cnn needs --image-shape height,width,channels, like 28,28,1',
    );
  }
  const { dataset, target, model, features, algorithm, task, promote, ...rest } = parsed.data;
  const hyperparameters = {
    ...(rest.epochs === undefined ? {} : { epochs: rest.epochs }),
    ...(rest.batchSize === undefined ? {} : { batchSize: rest.batchSize }),
    ...(rest.learningRate === undefined ? {} : { learningRate: rest.learningRate }),
    ...(rest.hidden === undefined ? {} : { hiddenUnits: rest.hidden }),
    ...(rest.imageShape === undefined ? {} : { imageShape: rest.imageShape }),
  };
  return {
    dataSet: `datasets/${dataset}`,
    targetColumn: target,
    featureColumns: features,
    algorithm: `ALGORITHM_${algorithm.toUpperCase()}`,
    ...(task === undefined ? {} : { task: `TRAINING_TASK_${task.toUpperCase()}` }),
    modelId: model,
    hyperparameters,
    ...(rest.heldOut === undefined ? {} : { heldOutRatio: rest.heldOut }),
    ...(rest.seed === undefined ? {} : { seed: String(rest.seed) }),
    promote,
  };
}

export async function startTraining(
  context: CommandContext,
  given: Readonly<Record<string, unknown>>,
): Promise<Job> {
  return Job.fromJSON(await context.client.call('POST', '/api/v1/jobs', trainingSpec(given)));
}

export function trainCommand(parent: Command): void {
  const { linear, mlp, cnn } = TRAINING_DEFAULTS;
  const command = parent
    .command('train')
    .description('train a model on a data set, and publish it')
    .requiredOption('--dataset <name>', 'the data set; its newest sealed version is used')
    .requiredOption('--target <column>', 'the column to predict')
    .requiredOption('--model <name>', 'the model to publish a version of')
    .option('--features <columns>', 'the columns to predict from (default: all others)')
    .option('--algorithm <name>', 'linear, mlp or cnn', 'mlp')
    .option(
      '--task <task>',
      "classification or regression (default: by the target's type and values)",
    )
    .option(
      '--epochs <n>',
      `passes over the training rows (default: ${mlp.epochs}, cnn ${cnn.epochs})`,
    )
    .option('--batch-size <n>', `rows in a training step (default: ${mlp.batchSize})`)
    .option(
      '--learning-rate <x>',
      `the optimiser's step (default: ${mlp.learningRate}, linear ${linear.learningRate})`,
    )
    .option(
      '--hidden <sizes>',
      `units of the hidden layers (default: mlp ${mlp.hiddenUnits}, cnn ${cnn.hiddenUnits})`,
    )
    .option('--image-shape <shape>', 'height,width,channels of the features (cnn)')
    .option(
      '--held-out <share>',
      `share of the rows kept to evaluate on (default: ${DEFAULT_HELD_OUT_RATIO})`,
    )
    .option('--seed <n>', 'the same seed and data give the same model (default: random)')
    .option('--no-promote', 'publish, but leave the serving version as it is')
    .option('--detach', 'start the job and return')
    .addHelpText('after', EXAMPLES);
  clientCommand(command, async (context) => {
    const { detach, server: _server, json: _json, ...given } = command.opts();
    const started = await startTraining(context, given);
    if (detach !== true) {
      showJob(context, await followJob(context, started, 'train'));
      context.output.say(`  its inputs: torus model show ${given.model}; torus predict --help`);
      return;
    }
    const id = lastPart(started.name);
    context.output.result(Job.toJSON(started), [`job ${id} is queued: torus jobs watch ${id}`]);
  });
}
