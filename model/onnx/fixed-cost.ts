// Whether the time of a run follows from the shapes of the inputs: then one measurement bounds all
// of them. Operators whose work or output size depends on values (loops, Range, Expand, a trained
// string encoder) can make a run of any length from a small request.
import type { OnnxSummary } from './reader.ts';

/**
 * Operators of ONNX itself (domain '' or 'ai.onnx') whose cost their inputs' shapes bound; what is
 * not named here counts as unbounded.
 */
const FIXED_COST: ReadonlySet<string> = new Set(
  `Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
  BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Concat Constant
  Conv ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Det Div Dropout
  DynamicQuantizeLinear Einsum Elu Equal Erf Exp EyeLike Flatten Floor GRU Gather GatherElements
  GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
  GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
  LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul
  MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not Or PRelu Pow
  QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Reciprocal ReduceL1 ReduceL2
  ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
  Relu Reshape ReverseSequence Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
  Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze
  Sub Sum Swish Tan Tanh ThresholdedRelu TopK Transpose Trilu Unsqueeze Where Xor`.split(/\s+/),
);

/** The same of the classical ones (domain 'ai.onnx.ml'). */
const FIXED_COST_ML: ReadonlySet<string> = new Set(
  `ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier
  LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
  TreeEnsembleClassifier TreeEnsembleRegressor`.split(/\s+/),
);

export function hasFixedCost({ operators }: Pick<OnnxSummary, 'operators'>): boolean {
  return operators.every(({ domain, type }) => {
    if (domain === '' || domain === 'ai.onnx') return FIXED_COST.has(type);
    return domain === 'ai.onnx.ml' && FIXED_COST_ML.has(type);
  });
}
