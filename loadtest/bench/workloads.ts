// All workloads of the bench, in their order.
import type { Workload } from '../measure/workload.ts';
import { ECHO } from './echo.ts';
import { LARGE_TENSORS } from './large-tensors.ts';
import { LATENCY } from './latency.ts';
import { MANY_CONNECTIONS } from './many-connections.ts';
import { MIDDLE_MODELS } from './middle-models.ts';
import { OPEN_LOOP } from './open-loop.ts';
import { ROUTING } from './routing.ts';
import { SMALL_MODEL } from './small-model.ts';
import { STEADY } from './steady.ts';
import { TLS } from './tls.ts';

export const WORKLOADS: readonly Workload[] = [
  ECHO,
  SMALL_MODEL,
  MIDDLE_MODELS,
  LATENCY,
  OPEN_LOOP,
  ROUTING,
  LARGE_TENSORS,
  MANY_CONNECTIONS,
  TLS,
  STEADY,
];
