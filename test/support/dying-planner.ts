// The planner's thread, but a plan under epoch 66 ends it, and one under epoch 77 never ends: what
// no memory left, or a bug that loops, looks like from outside.
import { Planner, type PlanRequest } from '../../control/planner.ts';

const FATAL_EPOCH = 66;
const ENDLESS_EPOCH = 77;

const run = Planner.prototype.run;
Planner.prototype.run = function (this: Planner, request: PlanRequest) {
  if (request.epoch === FATAL_EPOCH) process.exit(3);
  if (request.epoch === ENDLESS_EPOCH) for (;;);
  return run.call(this, request);
};

await import('../../control/planner-worker.ts');
