// The plant of one run: a site of its own, gateways with their keys, and a viewer.
import { login, newKey } from './access.js';
import { at, call, must } from './call.js';
import { needed } from './target.js';

// open creates the plant. Its names contain the time, so that they are new in each run.
export async function open({ gateways, viewer = false }) {
  const metadata = must('GET', '/.well-known/oauth-authorization-server', { kind: 'setup' }).json();
  const admin = login(needed('ADMIN_NAME'), needed('ADMIN_PASSWORD'));
  const site = `load-${new Date().toISOString().replace(/[^0-9]/g, '').slice(0, 17)}`;
  const create = (path, body) =>
    must('POST', path, { kind: 'setup', token: admin.access, body, want: 201, headers: { 'Idempotency-Key': crypto.randomUUID() } });
  create('/v1/sites', { name: site, title: 'Load test', time_zone: 'UTC' });
  const plant = { site, audience: metadata.issuer, admin, gateways: [], left: [] };
  for (let i = 1; i <= gateways; i++) {
    const name = `${site}-gw-${String(i).padStart(2, '0')}`;
    const { open: key, secret, id } = await newKey();
    create(at('sites', site, 'gateways'), { name, title: 'Load test', key });
    plant.gateways.push({ name, key: { secret, id } });
  }
  if (viewer) {
    const [name, password] = [`${site}-viewer`, crypto.randomUUID()];
    const created = create('/v1/users', { name, password, grants: { [site]: 'viewer' } });
    plant.viewer = { id: created.json('id'), name, password };
  }
  return plant;
}

// close revokes the plant's gateways and disables its viewer. The site and its readings
// remain, because the platform deletes nothing.
export function close(plant) {
  const { access: token } = login(needed('ADMIN_NAME'), needed('ADMIN_PASSWORD'));
  const any = { 'If-Match': '*' };
  for (const { name } of plant.gateways) {
    call('DELETE', at('sites', plant.site, 'gateways', name), { kind: 'teardown', token, headers: any });
  }
  if (plant.viewer) {
    call('PUT', at('users', plant.viewer.id), { kind: 'teardown', token, headers: any, body: { disabled: true, grants: {} } });
  }
}
