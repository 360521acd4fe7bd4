// A small convolutional network for images: two 3 x 3 convolutions, each followed by 2 x 2 max
// pooling, then dense layers. The features are the image's numbers, row major, channels last.
import { MIN_IMAGE_SIDE } from '../../catalog/documents.ts';
import { invalidArgument } from '../../common/status.ts';
import { denseStack, type Layer, type Network } from './network.ts';

const CNN_FILTERS: readonly number[] = [16, 32];
const KERNEL_SIZE = 3;

/**
 * @param imageShape height, width, channels.
 * @throws INVALID_ARGUMENT when it is absent, too small, or not as many numbers as there are
 * features.
 */
export function cnn(
  inputs: number,
  imageShape: readonly number[] | undefined,
  hiddenUnits: readonly number[],
  outputs: number,
): Network {
  let [height, width, channels] = checkShape(inputs, imageShape);
  const layers: Layer[] = [];
  for (const filters of CNN_FILTERS) {
    layers.push({
      kind: 'conv',
      ...{ height, width, channels, filters, size: KERNEL_SIZE, activation: 'relu' },
    });
    layers.push({ kind: 'pool', height, width, channels: filters });
    height = Math.floor(height / 2);
    width = Math.floor(width / 2);
    channels = filters;
  }
  layers.push(...denseStack(height * width * channels, hiddenUnits, outputs));
  return { inputs, outputs, layers };
}

function checkShape(
  inputs: number,
  imageShape: readonly number[] | undefined,
): [height: number, width: number, channels: number] {
  if (imageShape === undefined) {
    throw invalidArgument('algorithm cnn needs an image shape: height, width, channels');
  }
  const [height = 0, width = 0, channels = 0] = imageShape;
  const shown = `image shape ${imageShape.join(' x ')}`;
  if (height * width * channels !== inputs) {
    throw invalidArgument(
      `${shown} takes ${height * width * channels} feature columns, but there are ${inputs}`,
    );
  }
  if (height < MIN_IMAGE_SIDE || width < MIN_IMAGE_SIDE) {
    throw invalidArgument(
      `${shown} is too small for cnn, which needs at least ${MIN_IMAGE_SIDE} x ${MIN_IMAGE_SIDE}`,
    );
  }
  return [height, width, channels];
}
