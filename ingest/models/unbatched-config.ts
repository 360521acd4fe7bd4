// A model can have an open first dimension everywhere and yet not batch (a sequence, say). When a
// trial run shows that and its owner said nothing, its inputs and outputs are written down whole,
// which is how a configuration says that there is no batch dimension.
import type { TensorSpec } from '../../common/tensor.ts';
import { dataTypeOf } from '../../model/config/datatypes.ts';
import type { ModelSignature } from '../../model/signature.ts';
import { dataTypeToJSON, type ModelConfig } from '../../proto/gen/inference/model_config.ts';

/** Before what is added, so that a reader of the configuration knows whose it is. */
const MARK = '# Added at import. ';

/** `text` with inputs and outputs added, as far as it states none. */
export function unbatchedConfig(
  text: string,
  stated: ModelConfig | undefined,
  signature: ModelSignature,
  why: string,
): string {
  const lines = [MARK + why.replaceAll(/\s+/g, ' ')];
  if ((stated?.input.length ?? 0) === 0) lines.push(...signature.inputs.map(entry('input')));
  if ((stated?.output.length ?? 0) === 0) lines.push(...signature.outputs.map(entry('output')));
  return `${text === '' ? '' : `${text}\n`}${lines.join('\n')}\n`;
}

function entry(side: 'input' | 'output'): (spec: TensorSpec) => string {
  return ({ name, datatype, shape }) => {
    const type = dataTypeToJSON(dataTypeOf(datatype));
    const dims = shape.length > 0 ? `dims: [${shape.join(', ')}] ` : '';
    return `${side} { name: ${quote(name)} data_type: ${type} ${dims}}`;
  };
}

/** Every byte that is not plain as an octal escape. */
function quote(name: string): string {
  const escaped = Array.from(Buffer.from(name), (byte) => {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    return isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`;
  });
  return `"${escaped.join('')}"`;
}
