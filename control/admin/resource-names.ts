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

interface Form {
  readonly collection: string;
  readonly form: string;
  readonly title: string;
  /** Of the message, as its owner knows it. */
  readonly field: string;
}

function idOf(name: string, { collection, form, title, field }: Form): string {
  const [first, id, ...more] = name.split('/');
  if (first !== collection || id === undefined || id === '' || more.length > 0) {
    throw invalidArgument(`${field} ${shown(name)} is not of the form ${form}`);
  }
  if (!isName(id)) throw notFound(`${title} ${shown(id)} is not found`);
  return id;
}

export function modelOf(name: string, field = 'name'): string {
  return idOf(name, { collection: 'models', form: 'models/MODEL', title: 'model', field });
}

export function datasetOf(name: string, field = 'name'): string {
  return idOf(name, { collection: 'datasets', form: 'datasets/DATASET', title: 'data set', field });
}

export function jobOf(name: string): string {
  return idOf(name, { collection: 'jobs', form: 'jobs/JOB', title: 'job', field: 'name' });
}

export interface VersionName {
  readonly id: string;
  readonly version: number;
}

type ParentOf = (name: string, field: string) => string;

function versionOf(parent: ParentOf, form: string, name: string, field = 'name'): VersionName {
  const at = name.indexOf('/versions/');
  const number = name.slice(at + '/versions/'.length);
  if (at < 0 || !NUMBER.test(number) || !Number.isSafeInteger(Number(number))) {
    throw invalidArgument(`${field} ${shown(name)} is not of the form ${form}`);
  }
  return { id: parent(name.slice(0, at), field), version: Number(number) };
}

export function modelVersionOf(name: string): VersionName {
  return versionOf(modelOf, 'models/MODEL/versions/VERSION', name);
}

export function datasetVersionOf(name: string, field = 'name'): VersionName {
  return versionOf(datasetOf, 'datasets/DATASET/versions/VERSION', name, field);
}

/** Version 0: none was named. */
export function datasetMaybeVersionOf(name: string, field = 'name'): VersionName {
  return name.includes('/versions/')
    ? datasetVersionOf(name, field)
    : { id: datasetOf(name, field), version: 0 };
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
