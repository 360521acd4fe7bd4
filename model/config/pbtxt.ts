// A model's configuration as people write it, Triton's config.pbtxt. Nothing is filled in here
// (derive.ts does that).
import { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { encodeText } from './text-format.ts';
import { messageShape } from './text-schema.ts';

const MODEL_CONFIG = 'inference.ModelConfig';

/** @throws INVALID_ARGUMENT with line, column, what was found and what would be right. */
export function parseConfig(pbtxt: string): ModelConfig {
  return ModelConfig.decode(encodeText(pbtxt, messageShape(MODEL_CONFIG), 'config.pbtxt'));
}
