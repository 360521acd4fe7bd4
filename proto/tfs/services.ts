// TensorFlow Serving's two services: their names, and their definitions for who mounts them.
import * as model from '../gen/tensorflow_serving/apis/model_service.ts';
import * as prediction from '../gen/tensorflow_serving/apis/prediction_service.ts';

export const SERVING_DEFINITIONS = [
  prediction.PredictionServiceDefinition,
  model.ModelServiceDefinition,
] as const;

export const [PREDICTION_SERVICE, MODEL_SERVICE] = [
  prediction.PredictionServiceDefinition.fullName,
  model.ModelServiceDefinition.fullName,
] as const;

/** The paths of PredictionService, all of which are for one model. */
export const PREDICTION_PATHS: readonly string[] = Object.values(
  prediction.PredictionServiceDefinition.methods,
).map(({ name }) => `/${PREDICTION_SERVICE}/${name}`);

/** Whether a call is one of TensorFlow Serving's. */
export function isServingPath(path: string): boolean {
  return path.startsWith('/tensorflow.serving.');
}
