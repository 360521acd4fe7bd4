import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../proto/gen/grpc/reflection/v1/reflection.ts';
import { invokeStream } from '../invoke.ts';
import { Health, healthService } from './health.ts';
import { withReflection } from './reflection.ts';

const log = createLog({ role: 'test', level: 'silent' });
const DESCRIPTORS = join(import.meta.dirname, '../../proto/gen/descriptors.binpb');
const backend = withReflection(healthService(new Health(), log), readFileSync(DESCRIPTORS), log);

type Question = NonNullable<ServerReflectionRequest['messageRequest']>;

async function ask(questions: readonly Question[], version = 'v1') {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const requests = questions.map((messageRequest) =>
    ServerReflectionRequest.encode({ host: 'here', messageRequest }).finish(),
  );
  const answers: ServerReflectionResponse['messageResponse'][] = [];
  for await (const bytes of invokeStream(backend, path, requests)) {
    answers.push(ServerReflectionResponse.decode(bytes).messageResponse);
  }
  return answers;
}

/** Names of the files in an answer, or the code of an error. */
function filesOf(answer: ServerReflectionResponse['messageResponse']): readonly string[] | number {
  if (answer?.$case === 'errorResponse') return answer.errorResponse.errorCode;
  if (answer?.$case !== 'fileDescriptorResponse') return -1;
  return answer.fileDescriptorResponse.fileDescriptorProto.map(
    (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
  );
}

const symbol = (name: string): Question => ({
  $case: 'fileContainingSymbol',
  fileContainingSymbol: name,
});

test('the served services are listed, by both versions, and no others', async (t) => {
  for (const version of ['v1', 'v1alpha']) {
    const [answer] = await ask([{ $case: 'listServices', listServices: '*' }], version);
    t.deepEqual(answer?.$case === 'listServicesResponse' && answer.listServicesResponse, {
      service: [
        { name: 'grpc.health.v1.Health' },
        { name: 'grpc.reflection.v1.ServerReflection' },
        { name: 'grpc.reflection.v1alpha.ServerReflection' },
      ],
    });
  }
});

test('a symbol gives its file with what it imports, each once', async (t) => {
  const health = ['grpc/health/v1/health.proto'];
  const answers = await ask([
    symbol('grpc.health.v1.Health'),
    symbol('grpc.health.v1.Health.Watch'),
    symbol('grpc.health.v1.HealthCheckResponse.ServingStatus'),
    symbol('inference.ModelInferRequest.InferInputTensor'),
    { $case: 'fileByFilename', fileByFilename: 'grpc/health/v1/health.proto' },
  ]);
  t.deepEqual(filesOf(answers[0]), health);
  t.deepEqual(filesOf(answers[1]), health);
  t.deepEqual(filesOf(answers[2]), health);
  t.deepEqual(filesOf(answers[3]), [
    'inference/grpc_service.proto',
    'inference/model_config.proto',
  ]);
  t.deepEqual(filesOf(answers[4]), health);
});

test('what is not there is NOT_FOUND, and the stream goes on', async (t) => {
  const answers = await ask([
    symbol('no.Such'),
    symbol(''),
    symbol('grpc.health.v1.Health.NoMethod'),
    { $case: 'fileByFilename', fileByFilename: '../../etc/passwd' },
    {
      $case: 'fileContainingExtension',
      fileContainingExtension: { containingType: 'grpc.health.v1.Health', extensionNumber: 1 },
    },
    { $case: 'allExtensionNumbersOfType', allExtensionNumbersOfType: 'no.Such' },
    symbol('grpc.health.v1.Health'),
  ]);
  t.deepEqual(answers.slice(0, 6).map(filesOf), [5, 5, 5, 5, 5, 5]);
  t.deepEqual(filesOf(answers[6]), ['grpc/health/v1/health.proto']);
});

test('a message without extensions has an empty list of them', async (t) => {
  const [answer] = await ask([
    {
      $case: 'allExtensionNumbersOfType',
      allExtensionNumbersOfType: 'grpc.health.v1.HealthCheckRequest',
    },
  ]);
  t.is(answer?.$case, 'allExtensionNumbersResponse');
});
