import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { GetModelStatusResponse } from '../gen/tensorflow_serving/apis/get_model_status.ts';
import { encodeModelStatus, type KnownVersion } from './model-status.ts';
import { isServingPath, PREDICTION_PATHS, SERVING_DEFINITIONS } from './services.ts';
import { servableNotFound, unknownLabel } from './words.ts';

const KNOWN: readonly KnownVersion[] = [
  { version: 1, state: 'UNLOADING', reason: '' },
  { version: 2, state: 'READY', reason: '' },
  { version: 3, state: 'LOADING', reason: '' },
  { version: 10, state: 'UNAVAILABLE', reason: 'corrupt file' },
];

const told = (version: string) =>
  GetModelStatusResponse.decode(encodeModelStatus('m', version, KNOWN)).modelVersionStatus.map(
    ({ version: number, state, status }) => [
      Number(number),
      state,
      status?.errorCode,
      status?.errorMessage,
    ],
  );

test('all versions are told, the newest first, or the one that was asked for', (t) => {
  t.deepEqual(told(''), [
    [10, 50, Code.UNAVAILABLE, 'corrupt file'],
    [3, 20, Code.OK, ''],
    [2, 30, Code.OK, ''],
    [1, 40, Code.OK, ''],
  ]);
  t.deepEqual(told('2'), [[2, 30, Code.OK, '']]);
});

test('what is not there is NOT_FOUND, in the words of TensorFlow Serving', (t) => {
  const refused = t.throws(() => encodeModelStatus('m', '7', KNOWN), { instanceOf: StatusError });
  t.is(refused?.code, Code.NOT_FOUND);
  t.is(refused?.message, 'Could not find version 7 of model m');
  t.throws(() => encodeModelStatus('m', '', []), {
    message: 'Could not find any versions of model m',
  });
  t.is(servableNotFound('m', '').message, 'Servable not found for request: Latest(m)');
  t.is(servableNotFound('m', '7').message, 'Servable not found for request: Specific(m, 7)');
  t.is(unknownLabel('old').code, Code.INVALID_ARGUMENT);
});

test('the services are known by their paths', (t) => {
  t.true(PREDICTION_PATHS.includes('/tensorflow.serving.PredictionService/Predict'));
  t.true(PREDICTION_PATHS.every(isServingPath));
  t.false(isServingPath('/inference.GRPCInferenceService/ModelInfer'));
  t.is(SERVING_DEFINITIONS.length, 2);
});
