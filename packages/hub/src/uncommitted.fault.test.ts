/** What is not worth a commit: it is shown, and not stored by itself. */
import { expect, test } from 'vitest'
import { boot, ours, startHub } from '../test/hub-fixture.ts'

test('given writes, progress and echoes (R-65) > they are shown at once, and stored with the next change only', async () => {
  let commits = 0
  await using hub = await startHub({
    wrapStore: (store) =>
      new Proxy(store, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name)
          if (name !== 'update') return typeof value === 'function' ? value.bind(target) : value
          const update: typeof store.update = (bucket, key, change) =>
            target.update(bucket, key, (document) => {
              const changed = change(document as never)
              if ('document' in changed) commits++
              return changed
            })
          return update
        },
      }),
  })
  const agent = await hub.enroll('a1')
  const task = { taskId: 't1', status: 'running', progress: 0.1, updatedAt: 0 }
  await agent.sync(ours(1, { tasks: [task] }))
  const stream = await agent.openStream(boot('boot-1', 2))
  const path = '/api/v1/agents/a1/controls'
  const { controlId } = (await hub.operator('POST', path, { action: 'pause', taskId: 't1' })).body
  await stream.until(/event: command/)

  const before = commits
  const stored = await hub.store.read('mailboxes', 'a1')
  const [, counter, hubMs] = /: hb n=(\d+) t=(\d+)/.exec(await stream.until(/: hb n=\d+ t=\d+ /)) ?? []
  const heartbeat = { counter: Number(counter), hubMs: Number(hubMs), agoMs: 1 }
  for (const [step, progress] of [0.2, 0.3, 0.4].entries()) {
    const synced = await agent.sync(ours(3 + step, { tasks: [{ ...task, progress }], heartbeat }))
    expect(synced.body.controls, 'not settled, so handed out again').toMatchObject([{ controlId }])
  }
  expect(await hub.operator('GET', `/api/v1/controls/${controlId}`)).toMatchObject({
    body: { stamps: { written: { by: 'hub' } } },
  })
  const tasks = await hub.operator('GET', '/api/v1/agents/a1/tasks')
  expect(tasks.body.items).toMatchObject([{ taskId: 't1', progress: 0.4 }])
  expect((await hub.operator('GET', '/api/v1/agents/a1')).body).toMatchObject({ status: 'online' })
  expect(commits - before, 'none of this is worth a commit of its own').toBe(0)
  expect(await hub.store.read('mailboxes', 'a1')).toEqual(stored)

  await agent.sync(ours(6, { tasks: [{ ...task, progress: 0.5 }], received: [controlId] }))
  expect(commits - before).toBe(1)
  expect(JSON.stringify(await hub.store.read('mailboxes', 'a1')), 'with a change they are').toContain(
    '"written"',
  )
})
