// The OpenAPI document: who answers, and the messages that routes speak of.
import type { SwaggerOptions } from '@fastify/swagger';
import { contracts } from './contracts.ts';
import { ERROR_SCHEMA, inputsAndOutputs, messageSchemas, type Schema } from './openapi.ts';

const SERVICES = [
  'torus.v1.ModelService',
  'torus.v1.DataSetService',
  'torus.v1.JobService',
  'torus.v1.ClusterService',
  'inference.GRPCInferenceService',
];

/** Messages of all calls, and what an error looks like. */
export function sharedSchemas(): readonly Schema[] {
  const methods = SERVICES.flatMap((name) => contracts.getService(name)?.methods ?? []);
  return [ERROR_SCHEMA, ...messageSchemas(inputsAndOutputs(methods))];
}

const TAGS = [
  { name: 'inference', description: 'Open Inference Protocol v2 with the additions of Triton' },
  { name: 'repository', description: "Triton's model repository calls" },
  { name: 'models', description: 'models and their versions' },
  { name: 'data sets', description: 'data sets to train on' },
  { name: 'jobs', description: 'training and imports' },
  { name: 'uploads', description: 'files on their way in' },
  { name: 'cluster', description: 'what runs where' },
  { name: 'about', description: 'this API' },
];

export function openApiDocument(): SwaggerOptions {
  return {
    openapi: {
      openapi: '3.0.3',
      info: {
        title: 'Torus',
        version: 'v1',
        description:
          'REST of an inference cluster. Errors are {"error", "code"} with the name of the gRPC ' +
          'status code. Header grpc-timeout (digits and a unit of H, M, S, m, u, n) is the ' +
          "call's deadline; 60S when absent.",
      },
      tags: TAGS,
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, at) =>
        typeof json.$id === 'string' ? json.$id : `Schema${at}`,
    },
  };
}
