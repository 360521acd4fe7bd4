// GetModelStatus: the versions of a model and their states, as TensorFlow Serving tells them.
import { shownName } from '../../common/names.ts';
import { Code, notFound } from '../../common/status.ts';
import {
  GetModelStatusResponse,
  ModelVersionStatus_State as State,
} from '../gen/tensorflow_serving/apis/get_model_status.ts';

export interface KnownVersion {
  readonly version: number;
  readonly state: 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';
  /** Why it is UNAVAILABLE. */
  readonly reason: string;
}

const STATES = {
  READY: State.AVAILABLE,
  LOADING: State.LOADING,
  UNLOADING: State.UNLOADING,
  UNAVAILABLE: State.END,
} as const;

/**
 * A GetModelStatusResponse.
 * @param version decimal; '' for all, the newest first
 * @throws NOT_FOUND
 */
export function encodeModelStatus(
  model: string,
  version: string,
  known: readonly KnownVersion[],
): Uint8Array {
  const asked = known
    .filter((one) => version === '' || String(one.version) === version)
    .sort((a, b) => b.version - a.version);
  if (asked.length === 0) {
    const what = version === '' ? 'any versions' : `version ${version}`;
    throw notFound(`Could not find ${what} of model ${shownName(model)}`);
  }
  const response = {
    modelVersionStatus: asked.map((one) => ({
      version: BigInt(one.version),
      state: STATES[one.state],
      status: {
        errorCode: one.state === 'UNAVAILABLE' ? Code.UNAVAILABLE : Code.OK,
        errorMessage: one.state === 'UNAVAILABLE' ? one.reason : '',
      },
    })),
  };
  return GetModelStatusResponse.encode(response).finish();
}
