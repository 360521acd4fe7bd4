// Models that end their process by the processor's own trap (SIGFPE): the smallest whole number
// divided by -1. No program can catch that, as a fault in native code is not caught.
import { floats, GraphBuilder, tensorOf } from '../../model/onnx/graph.ts';

/** Other processors answer such a division with a number. */
export const isPoisonHere = process.arch === 'x64';

/**
 * FP32 [batch, 1] -> [batch, 2].
 * @param when 'load': the runtime divides as it folds constants. 'call': for any x above 0, which a
 * trial on zeros does not find.
 */
export function poisonOnnx(when: 'load' | 'call'): Uint8Array {
  const graph = new GraphBuilder('poison');
  graph.input('x', 'FP32', ['batch', 1]);
  const to = (type: number) => ({ attributes: { to: { int: type } } });
  const [asFloat, asInt] = [to(1), to(6)];
  const whole = (value: number) => graph.constant(tensorOf([1], Int32Array.of(value)));
  let divisor = whole(-1);
  if (when === 'call') {
    // 1 where x is 0, -1 above.
    const sign = graph.node('Sign', [graph.node('Cast', ['x'], asInt)]);
    divisor = graph.node('Sub', [whole(1), graph.node('Mul', [sign, whole(2)])]);
  }
  const quotient = graph.node('Div', [whole(-(2 ** 31)), divisor]);
  const sum = graph.node('Add', ['x', graph.node('Cast', [quotient], asFloat)]);
  const pair = graph.constant(floats([0, 0], [1, 2]));
  graph.node('Add', [sum, pair], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 2]);
  return graph.write();
}
