// A file of a model before anybody knows what it is: recognition looks at a few bytes of it,
// wherever it lies.

import { posix } from 'node:path';
import { shownName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import { isInnerPath, MAX_MANIFEST_FILES } from '../../model/manifest.ts';

export interface ModelFile {
  /** Inside the model's folder, with '/'. */
  readonly path: string;
  readonly sizeBytes: number;
  /** At most `maxBytes` from `startByte`; fewer at the file's end. */
  read(startByte: number, maxBytes: number): Promise<Uint8Array>;
}

export const CONFIG_FILE = 'config.pbtxt';

/** @throws INVALID_ARGUMENT for paths that leave the folder, repeat, or are file and folder. */
export function checkPaths(paths: readonly string[]): void {
  if (paths.length > MAX_MANIFEST_FILES) {
    throw invalidArgument(`a model has at most ${MAX_MANIFEST_FILES} files, not ${paths.length}`);
  }
  const files = new Set<string>();
  for (const path of paths) {
    if (!isInnerPath(path)) {
      throw invalidArgument(
        `path ${JSON.stringify(shownName(path))} is not allowed: it must be a plain path ` +
          "inside the model's folder",
      );
    }
    if (files.has(path)) throw invalidArgument(`file '${path}' is given twice`);
    files.add(path);
  }
  for (const path of paths) {
    for (let dir = posix.dirname(path); dir !== '.'; dir = posix.dirname(dir)) {
      if (files.has(dir)) throw invalidArgument(`'${dir}' is both a file and a folder`);
    }
  }
}

/**
 * Where each file goes so that the model lies at `filename` and its neighbours beside it, whatever
 * folder they came in: by path as given. config.pbtxt goes nowhere: its text is in the manifest.
 * @throws INVALID_ARGUMENT when two files would have one place.
 */
export function placeFiles(
  paths: readonly string[],
  modelPath: string,
  filename: string,
): Map<string, string> {
  const from = posix.dirname(modelPath);
  const to = posix.dirname(filename);
  const places = new Map<string, string>();
  for (const path of paths) {
    if (path === CONFIG_FILE) continue;
    const isNeighbour = from === '.' || path.startsWith(`${from}/`);
    const relative = posix.relative(from, path);
    const place = path === modelPath ? filename : isNeighbour ? posix.join(to, relative) : path;
    places.set(path, place);
  }
  checkPaths([...places.values()]);
  return places;
}
