/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "session.h"

#define SECOND_NS 1000000000u

int
accounts_init(struct accounts *accounts)
{
	TAILQ_INIT(&accounts->turns);
	accounts->buckets = calloc(ACCOUNT_BUCKETS, sizeof(accounts->buckets[0]));
	return accounts->buckets != NULL ? 0 : -ENOMEM;
}

static void
account_free(struct accounts *accounts, struct account *account)
{
	LIST_REMOVE(account, link);
	accounts->n--;
	free(account);
}

void
accounts_fini(struct accounts *accounts)
{
	for (unsigned i = 0; accounts->buckets != NULL && i < ACCOUNT_BUCKETS; i++)
		while (!LIST_EMPTY(&accounts->buckets[i]))
			account_free(accounts, LIST_FIRST(&accounts->buckets[i]));
	free(accounts->buckets);
	accounts->buckets = NULL;
}

/* Those that nobody uses: what is forgotten with them is how much of their second is left. */
static void
make_room(struct accounts *accounts)
{
	for (unsigned i = 0; i < ACCOUNT_BUCKETS; i++) {
		struct account *account, *next;

		for (account = LIST_FIRST(&accounts->buckets[i]); account != NULL; account = next) {
			next = LIST_NEXT(account, link);
			if (account->n_sessions == 0)
				account_free(accounts, account);
		}
	}
}

static struct account *
account_of(struct accounts *accounts, uid_t uid)
{
	struct account_list *bucket = &accounts->buckets[uid & (ACCOUNT_BUCKETS - 1)];
	struct account *account;

	LIST_FOREACH(account, bucket, link)
	if (account->uid == uid)
		return account;
	if (accounts->n >= ACCOUNT_MAX)
		make_room(accounts);
	account = calloc(1, sizeof(*account));
	if (account == NULL)
		return NULL;
	account->uid = uid;
	TAILQ_INIT(&account->active);
	LIST_INSERT_HEAD(bucket, account, link);
	accounts->n++;
	return account;
}

const char *
account_enter(struct server *server, struct session *session)
{
	const struct conf *conf = server->conf;
	struct account *account = account_of(&server->accounts, session->uid);
	const struct session *other;
	unsigned n = 0;

	if (account == NULL)
		return "out of memory";
	session->account = account;
	account->n_sessions++;
	account->n_silent += session->state == SESSION_NEW;
	if (server->n_sessions > conf->max_agents)
		return "too many agents";
	if (account->n_sessions > conf->user_agents)
		return "too many agents of this user";
	if (account->n_silent > ACCOUNT_SILENT_MAX)
		return "too many connections of this user say nothing";
	PEERS_FOREACH(other, &server->peers, session->pid)
	n++;
	return n > ACCOUNT_PROCESS_MAX ? "too many connections of this process" : NULL;
}

void
account_leave(struct session *session)
{
	struct account *account = session->account;

	if (account == NULL)
		return;
	account_deactivate(session);
	account->n_sessions--;
	account->n_silent -= session->state == SESSION_NEW;
	account->memory -= session->memory;
	session->account = NULL;
}

const char *
account_greet(struct session *session, size_t memory)
{
	struct account *account = session->account;

	account->n_silent--;
	account->memory += memory;
	session->memory = memory;
	return account->memory > session->server->conf->user_memory
		       ? "the rings of this user take too much memory"
		       : NULL;
}

/* Turns */

static bool
has_turn(const struct account *account)
{
	const struct session *session = TAILQ_FIRST(&account->active);

	return session != NULL && session->pass != account->pass;
}

/* Its turn comes next, whatever the pass. */
static void
put_first(struct session *session)
{
	TAILQ_INSERT_HEAD(&session->account->active, session, active_link);
	session->pass = session->account->pass - 1;
}

void
account_activate(struct session *session)
{
	struct account *account = session->account;

	if (TAILQ_EMPTY(&account->active))
		TAILQ_INSERT_TAIL(&session->server->accounts.turns, account, turn_link);
	put_first(session);
	session->is_active = true;
}

void
account_hurry(struct session *session)
{
	TAILQ_REMOVE(&session->account->active, session, active_link);
	put_first(session);
}

void
account_deactivate(struct session *session)
{
	struct accounts *accounts = &session->server->accounts;
	struct account *account = session->account;

	if (!session->is_active)
		return;
	session->is_active = false;
	if (account->first_taker == session)
		account->first_taker = NULL;
	TAILQ_REMOVE(&account->active, session, active_link);
	if (!TAILQ_EMPTY(&account->active))
		return;
	if (accounts->first_taker == account)
		accounts->first_taker = NULL;
	TAILQ_REMOVE(&accounts->turns, account, turn_link);
}

static unsigned
limit_of(const struct session *session, enum pyaudit_lane lane)
{
	const struct server *server = session->server;

	if (server->is_ending)
		return 0;
	return lane == PYAUDIT_LANE_URGENT ? server->conf->user_alerts : server->conf->user_events;
}

unsigned
account_allows(struct session *session, enum pyaudit_lane lane, unsigned n, uint64_t now_ns)
{
	struct account_rate *rate = &session->account->rates[lane];
	unsigned limit = limit_of(session, lane);

	if (limit == 0)
		return n;
	if (now_ns - rate->since_ns >= SECOND_NS)
		*rate = (struct account_rate){.since_ns = now_ns};
	if (rate->n + n <= limit)
		return n;
	return limit > rate->n ? limit - rate->n : 0;
}

void
account_takes(struct session *session, enum pyaudit_lane lane, unsigned n)
{
	struct accounts *accounts = &session->server->accounts;
	struct account *account = session->account;

	account->rates[lane].n += n;
	if (n == 0 || lane != PYAUDIT_LANE_ORDINARY || !session->is_active || !account->in_pass)
		return;
	if (account->first_taker == NULL)
		account->first_taker = session;
	if (accounts->first_taker == NULL)
		accounts->first_taker = account;
}

/* The pass is over: nobody waits for a turn of it. */
static void
put_taker_last(struct account *account)
{
	struct session *taker = account->first_taker;

	if (taker == NULL)
		return;
	TAILQ_REMOVE(&account->active, taker, active_link);
	TAILQ_INSERT_TAIL(&account->active, taker, active_link);
	account->first_taker = NULL;
}

static void
put_taking_user_last(struct accounts *accounts)
{
	struct account *taker = accounts->first_taker;

	if (taker == NULL)
		return;
	TAILQ_REMOVE(&accounts->turns, taker, turn_link);
	TAILQ_INSERT_TAIL(&accounts->turns, taker, turn_link);
	accounts->first_taker = NULL;
}

static void
begin_pass(struct server *server, struct account *account, uint64_t now_ns)
{
	account->in_pass = true;
	account->is_limited = false;
	account->every_ns = now_ns - account->begun_ns;
	account->begun_ns = now_ns;
	account->vain_ns = 0;
	account->wait_ms = server->conf->drain_ms;
	account->pass++;
}

static void
end_pass(struct server *server, struct account *account, uint64_t now_ns)
{
	uint64_t wait_ns = account->wait_ms * 1000000ull;

	/* Nobody in a hurry: polling in vain takes half of the time at most. */
	if (account->wait_ms >= server->conf->drain_ms && account->vain_ns > wait_ns)
		wait_ns = account->vain_ns < ACCOUNT_WAIT_NS ? account->vain_ns : ACCOUNT_WAIT_NS;
	if (account->is_limited && wait_ns < ACCOUNT_LIMITED_NS)
		wait_ns = ACCOUNT_LIMITED_NS;
	account->in_pass = false;
	account->due_ns = now_ns + wait_ns;
	put_taker_last(account);
}

/* What the next turn will look at first: in memory of so many processes nothing is near. */
static void
look_ahead(const struct session *session)
{
	const struct session *next = TAILQ_NEXT(session, active_link);

	if (next == NULL)
		return;
	if (next->drain.ring != NULL)
		drain_prefetch(&next->drain);
	next = TAILQ_NEXT(next, active_link);
	if (next == NULL)
		return;
	for (size_t at = 0; at < sizeof(next->drain); at += 64)
		__builtin_prefetch((const char *)&next->drain + at);
}

/* A slice of the loop for one user. True: it has more to do now. */
static bool
serve(struct server *server, struct account *account, uint64_t *now_ns)
{
	uint64_t begun_ns = *now_ns;

	if (!account->in_pass && begun_ns >= account->due_ns)
		begin_pass(server, account, begun_ns);
	while (has_turn(account) && *now_ns - begun_ns < ACCOUNT_SLICE_NS) {
		struct session *session = TAILQ_FIRST(&account->active);
		uint64_t turn_ns = *now_ns, n_before = server->stats.n_events;
		unsigned ms;

		look_ahead(session);
		session->pass = account->pass;
		TAILQ_REMOVE(&account->active, session, active_link);
		TAILQ_INSERT_TAIL(&account->active, session, active_link);
		ms = session_turn(session, *now_ns); /* may be the end of it */
		*now_ns = clock_ns(CLOCK_MONOTONIC);
		if (server->stats.n_events == n_before)
			account->vain_ns += *now_ns - turn_ns;
		if (ms < account->wait_ms)
			account->wait_ms = ms;
		/* One that was woken between two passes may ask for an earlier one. */
		if (!account->in_pass && *now_ns + ms * 1000000ull < account->due_ns)
			account->due_ns = *now_ns + ms * 1000000ull;
	}
	if (has_turn(account))
		return true;
	if (account->in_pass)
		end_pass(server, account, *now_ns);
	return account->due_ns <= *now_ns;
}

int
accounts_turn(struct server *server)
{
	struct account_queue *turns = &server->accounts.turns;
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC), now_ns = begun_ns, due_ns = UINT64_MAX;
	struct account *account, *next;
	bool more = true;

	while (more && now_ns - begun_ns < ACCOUNT_LOOP_NS) {
		more = false;
		for (account = TAILQ_FIRST(turns); account != NULL; account = next) {
			next = TAILQ_NEXT(account, turn_link);
			more = serve(server, account, &now_ns) || more;
		}
		put_taking_user_last(&server->accounts);
	}
	if (TAILQ_EMPTY(turns))
		return -1;
	if (more)
		return 0;
	TAILQ_FOREACH(account, turns, turn_link)
	if (account->due_ns < due_ns)
		due_ns = account->due_ns;
	return due_ns > now_ns ? (int)((due_ns - now_ns) / 1000000u) + 1 : 0;
}
