// The methods that a node's listener takes from the start, before the node can answer them.
import { HealthDefinition } from '../../proto/gen/grpc/health/v1/health.ts';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { SERVING_DEFINITIONS } from '../../proto/tfs/services.ts';
import { pathsOf } from '../../transport/late-backend.ts';
import { REFLECTION_PATHS } from '../../transport/services/reflection.ts';

export const NODE_PATHS = new Map([
  ...pathsOf([GRPCInferenceServiceDefinition, ...SERVING_DEFINITIONS, HealthDefinition]),
  ...REFLECTION_PATHS.map((path) => [path, 'bidi_stream'] as const),
]);
