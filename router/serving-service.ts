// What the router answers itself of TensorFlow Serving's services: the state of a model's versions
// is that of the cluster, and no node's alone.
import type { Log } from '../common/log.ts';
import { Code, StatusError } from '../common/status.ts';
import { scanModelCall } from '../proto/oip/scan.ts';
import { encodeModelStatus } from '../proto/tfs/model-status.ts';
import { MODEL_SERVICE } from '../proto/tfs/services.ts';
import type { Backend } from '../transport/backend.ts';
import { type Codec, defineService, unary } from '../transport/service.ts';
import type { RouteTable } from './route-table.ts';

const GET_MODEL_STATUS = `/${MODEL_SERVICE}/GetModelStatus`;
const RELOAD = `/${MODEL_SERVICE}/HandleReloadConfigRequest`;
const BYTES: Codec<Uint8Array> = { decode: (bytes) => bytes, encode: (bytes) => bytes };

export function servingService(table: RouteTable, log: Log): Backend {
  return defineService(
    [
      unary(GET_MODEL_STATUS, BYTES, BYTES, (request) => {
        const { model = '', version = '' } = scanModelCall(GET_MODEL_STATUS, request) ?? {};
        const known = table.index(model);
        return encodeModelStatus(model, version, known);
      }),
      unary(RELOAD, BYTES, BYTES, () => {
        throw new StatusError(
          Code.UNIMPLEMENTED,
          'HandleReloadConfigRequest is not supported: models are added with `torus model ' +
            'import`, and loaded and unloaded with RepositoryModelLoad and RepositoryModelUnload ' +
            'of inference.GRPCInferenceService',
        );
      }),
    ],
    log,
  );
}
