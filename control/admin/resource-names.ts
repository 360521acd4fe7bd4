// Names of the admin API's resources ('models/digits/versions/3') and the ids in them. An id that
// is no allowed name can't be there: NOT_FOUND. A text of another form is INVALID_ARGUMENT.
import { isName } from '../../common/names.ts';
import { invalidArgument, notFound } from '../../common/status.ts';

/** Names shown in messages are cut here. */
const SHOWN_CHARACTERS = 200;
const NUMBER = /^[1-9][0-9]{0,15}$/;

function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, 200)}...` : text);
}

function idOf(collection: string, form: string, title: string, name: string): string {
  const [first, id, ...more] = name.split('/');
  if (first !== collection || id === undefined || id === '' || more.length > 0) {
    throw invalidArgument(`name ${shown(name)} is not of the form ${form}`);
  }
  if (!isName(id)) throw notFound(`${title} ${shown(id)} is not found`);
  return id;
}

export function modelOf(name: string): string {
  return idOf('models', 'models/MODEL', 'model', name);
}

export function datasetOf(name: string): string {
  return idOf('datasets', 'datasets/DATASET', 'data set', name);
}

export function jobOf(name: string): string {
  return idOf('jobs', 'jobs/JOB', 'job', name);
}

export interface VersionName {
  readonly id: string;
  readonly version: number;
}

function versionOf(parent: (name: string) => string, form: string, name: string): VersionName {
  const at = name.indexOf('/versions/');
  const number = name.slice(at + '/versions/'.length);
  if (at < 0 || !NUMBER.test(number) || !Number.isSafeInteger(Number(number))) {
    throw invalidArgument(`name ${shown(name)} is not of the form ${form}`);
  }
  return { id: parent(name.slice(0, at)), version: Number(number) };
}

export function modelVersionOf(name: string): VersionName {
  return versionOf(modelOf, 'models/MODEL/versions/VERSION', name);
}

export function datasetVersionOf(name: string): VersionName {
  return versionOf(datasetOf, 'datasets/DATASET/versions/VERSION', name);
}

/** Version 0: none was named. */
export function datasetMaybeVersionOf(name: string): VersionName {
  return name.includes('/versions/') ? datasetVersionOf(name) : { id: datasetOf(name), version: 0 };
}

export function modelName(model: string): string {
  return `models/${model}`;
}

export function modelVersionName(model: string, version: number): string {
  return `models/${model}/versions/${version}`;
}

export function datasetName(dataset: string): string {
  return `datasets/${dataset}`;
}

export function datasetVersionName(dataset: string, version: number): string {
  return `datasets/${dataset}/versions/${version}`;
}

export function jobName(id: string): string {
  return `jobs/${id}`;
}

/** Documents name a job by its id; what is no job says so by one of these words. */
export function sourceName(source: string): string {
  const isJob = source !== '' && source !== 'upload' && source !== 'repository';
  return isJob && !source.includes('/') ? jobName(source) : source;
}
