// What an ONNX file on disk says about itself. Its weights stay there: the runtime reads them, and
// this thread serves predictions.
import { type FileHandle, open } from 'node:fs/promises';
import { type OnnxSource, outlineOnnx } from '../model/onnx/outline.ts';
import { type OnnxSummary, readOnnx } from '../model/onnx/reader.ts';
import { diskError } from '../stores/disk-error.ts';

/**
 * @throws INVALID_ARGUMENT for what is no model, with the place in the file (for which it is read
 * as a whole); what the disk says.
 */
export async function readOnnxFile(modelPath: string): Promise<OnnxSummary> {
  let file: FileHandle | undefined;
  try {
    file = await open(modelPath);
    const outline = await outlineOnnx(await sourceOf(file));
    try {
      if (outline !== undefined) return readOnnx(outline);
    } catch {
      // Said below, of the whole file.
    }
    return readOnnx(await file.readFile());
  } catch (cause) {
    throw diskError(cause, 'read the model', modelPath);
  } finally {
    await file?.close();
  }
}

async function sourceOf(file: FileHandle): Promise<OnnxSource> {
  const { size } = await file.stat();
  return {
    sizeBytes: size,
    async read(startByte, maxBytes) {
      const bytes = new Uint8Array(Math.max(0, Math.min(maxBytes, size - startByte)));
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await file.read(bytes, filled, null, startByte + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    },
  };
}
