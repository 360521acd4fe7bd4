// How TensorFlow Serving words its errors, which its clients and probes look for.
import { shownName } from '../../common/names.ts';
import { invalidArgument, notFound, type StatusError } from '../../common/status.ts';

/** @param version as it was asked for; '' is the newest */
export function servableNotFound(model: string, version: string): StatusError {
  const name = shownName(model);
  const which = version === '' ? `Latest(${name})` : `Specific(${name}, ${version})`;
  return notFound(`Servable not found for request: ${which}`);
}

/** Models here have version numbers only. */
export function unknownLabel(label: string): StatusError {
  return invalidArgument(`Unrecognized servable version label: ${shownName(label)}`);
}
