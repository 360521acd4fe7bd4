// All workloads of the bench, in their order.
import type { Workload } from '../measure/workload.ts';
import { ECHO } from './echo.ts';

export const WORKLOADS: readonly Workload[] = [ECHO];
