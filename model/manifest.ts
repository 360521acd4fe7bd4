// A manifest is one model version's table of contents: every file with its hash, and what a node
// must know to serve it. It is a blob itself, so its hash names the version's exact content
// everywhere.
import { posix } from 'node:path';
import { z } from 'zod';
import { isName, isSha256 } from '../common/names.ts';
import { Code, StatusError } from '../common/status.ts';
import { DATATYPES } from '../common/tensor.ts';
import type { BlobInfo, BlobReader, BlobStore } from '../stores/blobs/blobs.ts';
import { readSmallBlob, writeSmallBlob } from '../stores/blobs/small-blobs.ts';

export const MANIFEST_SCHEMA = 1;
/** Above it a manifest is refused with INVALID_ARGUMENT: it is read whole. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;
export const MAX_MANIFEST_FILES = 10_000;

const sha256 = z.string().refine(isSha256, 'must be 64 lower-case hexadecimal digits');

/** A relative path inside the version's folder: no '..', no leading '/', no backslash. */
export function isInnerPath(path: string): boolean {
  return (
    path.length > 0 &&
    path.length <= 512 &&
    !path.includes('\\') &&
    !path.includes('\0') &&
    !posix.isAbsolute(path) &&
    posix.normalize(path) === path &&
    !path.endsWith('/') &&
    path !== '.' &&
    !path.split('/').includes('..')
  );
}

const tensorSpec = z.object({
  name: z.string().min(1),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.number().int().min(-1)),
});

const manifestSchema = z.object({
  schema: z.literal(MANIFEST_SCHEMA),
  model: z.string().refine(isName, 'is no model name'),
  version: z.number().int().min(1),
  /** Triton's platform name, 'onnxruntime_onnx'. */
  platform: z.string().min(1),
  files: z
    .array(
      z.object({
        path: z.string().refine(isInnerPath, 'must be a plain path inside the folder'),
        sha256,
        sizeBytes: z.number().int().min(0),
      }),
    )
    .min(1)
    .max(MAX_MANIFEST_FILES),
  /** Text of config.pbtxt; '' when the model came without one. */
  configPbtxt: z.string(),
  /** As ONNX declares them: the batch dimension included, -1 where open. */
  inputs: z.array(tensorSpec),
  outputs: z.array(tensorSpec),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = Manifest['files'][number];

/** Bytes that are the same for the same manifest, so that its hash is too. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const files = [...manifest.files].sort((a, b) => (a.path < b.path ? -1 : 1));
  return new TextEncoder().encode(JSON.stringify(manifestSchema.parse({ ...manifest, files })));
}

/** Its hash is the name by which nodes fetch the version. @throws as the store does */
export function writeManifest(
  blobs: Pick<BlobStore, 'write'>,
  manifest: Manifest,
): Promise<BlobInfo> {
  return writeSmallBlob(blobs, encodeManifest(manifest));
}

/** @throws NOT_FOUND when it is not there, DATA_LOSS saying what is wrong with it. */
export async function readManifest(blobs: BlobReader, sha256: string): Promise<Manifest> {
  return decodeManifest(await readManifestBytes(blobs, sha256));
}

/** As it was written. @throws as readManifest */
export function readManifestBytes(blobs: BlobReader, sha256: string): Promise<Buffer> {
  return readSmallBlob(blobs, { sha256, what: 'the manifest', maxBytes: MAX_MANIFEST_BYTES });
}

/** @throws DATA_LOSS saying what is wrong with it. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new StatusError(Code.DATA_LOSS, `manifest is not valid: ${why}`, { cause });
  }
}
