// All that is fuzzed.
import '../support/poison-reads.ts';
import { connectionTargets } from './connection-targets.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { grpcClientTarget } from './grpc-client-target.ts';
import { grpcMessageTargets } from './grpc-message-targets.ts';
import { grpcServerTarget } from './grpc-server-target.ts';
import { hpackTargets } from './hpack-targets.ts';
import { modelInferTargets } from './model-infer-target.ts';
import { nodeClientTargets } from './node-client-target.ts';
import { pairTarget } from './pair-target.ts';
import { rawClientTarget } from './raw-client-target.ts';

export const targets: readonly FuzzTarget[] = [
  ...hpackTargets,
  ...connectionTargets,
  pairTarget,
  ...grpcMessageTargets,
  grpcServerTarget,
  ...modelInferTargets,
  ...nodeClientTargets,
  grpcClientTarget,
  rawClientTarget,
];
