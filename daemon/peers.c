/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <errno.h>
#include <stdlib.h>

#include "session.h"

int
peers_init(struct peers *peers)
{
	/* Pages that nobody has touched cost nothing. */
	peers->buckets = calloc(PEERS_BUCKETS, sizeof(peers->buckets[0]));
	return peers->buckets != NULL ? 0 : -ENOMEM;
}

void
peers_fini(struct peers *peers)
{
	free(peers->buckets);
	peers->buckets = NULL;
}

static struct peer_list *
bucket_of(const struct peers *peers, pid_t pid)
{
	return &peers->buckets[(unsigned)pid & (PEERS_BUCKETS - 1)];
}

void
peers_add(struct peers *peers, struct session *session)
{
	LIST_INSERT_HEAD(bucket_of(peers, session->pid), session, peer_link);
	session->is_peer = true;
}

void
peers_remove(struct session *session)
{
	if (session->is_peer)
		LIST_REMOVE(session, peer_link);
	session->is_peer = false;
}

static struct session *
of_process(struct session *session, pid_t pid)
{
	while (session != NULL && session->pid != pid)
		session = LIST_NEXT(session, peer_link);
	return session;
}

struct session *
peers_first(const struct peers *peers, pid_t pid)
{
	return of_process(LIST_FIRST(bucket_of(peers, pid)), pid);
}

struct session *
peers_next(const struct session *session)
{
	return of_process(LIST_NEXT(session, peer_link), session->pid);
}
