// A model's configuration as people write it: Triton's config.pbtxt, or the JSON that a load
// request carries. Both end as the same message; nothing is filled in here (derive.ts does that).
import { fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { invalidArgument } from '../../common/status.ts';
import { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { encodeText, MAX_TEXT_CHARACTERS } from './text-format.ts';
import { messageDescriptor, messageShape } from './text-schema.ts';

const MODEL_CONFIG = 'inference.ModelConfig';

/** @throws INVALID_ARGUMENT with line, column, what was found and what would be right. */
export function parseConfig(pbtxt: string): ModelConfig {
  return ModelConfig.decode(encodeText(pbtxt, messageShape(MODEL_CONFIG), 'config.pbtxt'));
}

/**
 * Field names as in the contract or in camel case, enums by name or number, numbers may be strings.
 * @throws INVALID_ARGUMENT saying which field is wrong.
 */
export function parseConfigJson(json: string): ModelConfig {
  if (json.length > MAX_TEXT_CHARACTERS) {
    throw invalidArgument(
      `model config has ${json.length} characters, at most ${MAX_TEXT_CHARACTERS} are read`,
    );
  }
  try {
    const descriptor = messageDescriptor(MODEL_CONFIG);
    const message = fromJson(descriptor, JSON.parse(json) as JsonValue);
    return ModelConfig.decode(toBinary(descriptor, message));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalidArgument(`model config is no valid JSON of ${MODEL_CONFIG}: ${reason}`);
  }
}
