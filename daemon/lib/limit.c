/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "keyhash.h"

#define SLOTS (2 * LIMIT_BUCKETS_MAX) /* a power of two */

/* Tokens are counted in nanoseconds of `every` / `burst`, so that no remainder is lost. */
struct bucket {
	TAILQ_ENTRY(bucket) idle_link;  /* last used last */
	TAILQ_ENTRY(bucket) held_link;  /* where something is held back */
	struct bucket *next;            /* of the same slot */
	struct keyhash key;
	uint64_t full_ns; /* CLOCK_MONOTONIC at which all tokens are back */
	struct process *process; /* where proc.pid is one of the fields */
	struct report_summary summary;
	char id[PYAUDIT_RULE_ID_MAX + 1];
	struct report_summary_value *values;
	uint64_t held_ns; /* CLOCK_MONOTONIC of the first held back */
	uint64_t every_ns;
};

TAILQ_HEAD(buckets, bucket);

struct limits {
	struct keyhash_secret secret;
	struct buckets idle, held;
	struct bucket *slots[SLOTS];
	unsigned n_buckets;
	uint64_t n_evicted;
	uint8_t key[LIMIT_KEY_MAX];
	struct pyaudit_value list[PYAUDIT_VALUES_MAX];
};

struct limits *
limits_new(void)
{
	struct limits *limits = calloc(1, sizeof(*limits));

	if (limits == NULL || keyhash_secret_make(&limits->secret) < 0) {
		free(limits);
		return NULL;
	}
	TAILQ_INIT(&limits->idle);
	TAILQ_INIT(&limits->held);
	return limits;
}

static void
bucket_free(struct bucket *bucket)
{
	for (unsigned i = 0; i < bucket->summary.n_values; i++)
		free(bucket->values[i].text);
	free(bucket->values);
	process_unref(bucket->process);
	free(bucket);
}

void
limits_free(struct limits *limits)
{
	struct bucket *bucket;

	if (limits == NULL)
		return;
	while ((bucket = TAILQ_FIRST(&limits->idle)) != NULL) {
		TAILQ_REMOVE(&limits->idle, bucket, idle_link);
		bucket_free(bucket);
	}
	free(limits);
}

uint64_t
limits_evicted(const struct limits *limits)
{
	return limits->n_evicted;
}

/* Held back no more. */
static void
tell_bucket(struct limits *limits, struct bucket *bucket, limits_tell_fn *tell, void *data)
{
	struct report_summary *summary = &bucket->summary;

	if (summary->n_alerts == 0)
		return;
	TAILQ_REMOVE(&limits->held, bucket, held_link);
	summary->rule = bucket->id;
	summary->values = bucket->values;
	summary->process = bucket->process;
	tell(data, summary);
	summary->n_alerts = summary->n_denials = 0;
	summary->action = PYAUDIT_ACTION_NONE;
}

static void
forget(struct limits *limits, struct bucket *bucket)
{
	struct bucket **at = &limits->slots[bucket->key.a % SLOTS];

	while (*at != bucket)
		at = &(*at)->next;
	*at = bucket->next;
	TAILQ_REMOVE(&limits->idle, bucket, idle_link);
	limits->n_buckets--;
	bucket_free(bucket);
}

/* Values */

static size_t
put_bytes(struct limits *limits, size_t at, const void *bytes, size_t len)
{
	if (len > sizeof(limits->key) - at)
		len = sizeof(limits->key) - at;
	memcpy(limits->key + at, bytes, len);
	return at + len;
}

/* A value with its type and length before it, so that no two sets of values read the same. */
static size_t
put_value(struct limits *limits, size_t at, const struct pyaudit_value *v)
{
	struct {
		uint32_t type, len;
	} head = {.type = v->type};

	if (pyaudit_value_is_text(v) || v->type == PYAUDIT_TAG_OBJECT) {
		head.type = PYAUDIT_TAG_STR;
		head.len = v->len;
		at = put_bytes(limits, at, &head, sizeof(head));
		return put_bytes(limits, at, v->s, v->len);
	}
	if (v->type == PYAUDIT_TAG_LIST) {
		head.len = v->n_items;
		at = put_bytes(limits, at, &head, sizeof(head));
		for (unsigned i = 0; i < v->n_items; i++)
			at = put_value(limits, at, &v->items[i]);
		return at;
	}
	at = put_bytes(limits, at, &head, sizeof(head));
	return v->type == PYAUDIT_TAG_INT || v->type == PYAUDIT_TAG_BOOL
		       ? put_bytes(limits, at, &v->i, sizeof(v->i))
		       : at;
}

static struct keyhash
key_of(struct limits *limits, const struct report *report, const struct rule *rule)
{
	size_t at = put_bytes(limits, 0, rule->id, strlen(rule->id) + 1);

	for (unsigned i = 0; i < rule->limit.n_per; i++) {
		struct pyaudit_value v = {.type = 0};

		if (!report_field(report, rule->limit.per[i], &v, limits->list))
			v = (struct pyaudit_value){.type = 0};
		at = put_value(limits, at, &v);
	}
	return keyhash_of(&limits->secret, limits->key, at);
}

static struct process *
ref_of(const struct process *process)
{
	union {
		const struct process *in;
		struct process *out;
	} shared = {.in = process};

	return process_ref(shared.out);
}

/* What a summary shows of its values, as messages show them. */
static bool
keep_values(struct limits *limits, struct bucket *bucket, const struct report *report,
	    const struct rule *rule)
{
	bucket->values = calloc(rule->limit.n_per + 1, sizeof(*bucket->values));
	if (bucket->values == NULL)
		return false;
	bucket->summary.n_values = rule->limit.n_per;
	for (unsigned i = 0; i < rule->limit.n_per; i++) {
		struct report_summary_value *value = &bucket->values[i];
		struct pyaudit_value v = {.type = 0};
		struct buf text;

		value->field = rule->limit.per[i];
		if (value->field == PYAUDIT_F_PROC_PID && report->process != NULL)
			bucket->process = ref_of(report->process);
		if (!report_field(report, value->field, &v, limits->list))
			continue;
		buf_init(&text);
		report_add_value(&text, &v);
		if (text.len > LIMIT_VALUE_MAX)
			text.len = LIMIT_VALUE_MAX;
		value->text = text.failed || text.len == 0 ? NULL : text_copy(text.data, text.len);
		buf_fini(&text);
	}
	return true;
}

static struct bucket *
find_bucket(struct limits *limits, struct keyhash key)
{
	struct bucket *bucket = limits->slots[key.a % SLOTS];

	while (bucket != NULL && !keyhash_equal(bucket->key, key))
		bucket = bucket->next;
	return bucket;
}

/* NULL: no memory, and the alert is told. */
static struct bucket *
new_bucket(struct limits *limits, struct keyhash key, const struct report *report,
	   const struct rule *rule, limits_tell_fn *tell, void *data)
{
	struct bucket *bucket;

	if (limits->n_buckets >= LIMIT_BUCKETS_MAX) {
		bucket = TAILQ_FIRST(&limits->idle);
		tell_bucket(limits, bucket, tell, data);
		forget(limits, bucket);
		limits->n_evicted++;
	}
	bucket = calloc(1, sizeof(*bucket));
	if (bucket == NULL)
		return NULL;
	if (!keep_values(limits, bucket, report, rule)) {
		bucket_free(bucket);
		return NULL;
	}
	bucket->key = key;
	memcpy(bucket->id, rule->id, strnlen(rule->id, PYAUDIT_RULE_ID_MAX));
	bucket->next = limits->slots[key.a % SLOTS];
	limits->slots[key.a % SLOTS] = bucket;
	TAILQ_INSERT_TAIL(&limits->idle, bucket, idle_link);
	limits->n_buckets++;
	return bucket;
}

/* Takes a token. The rule's numbers are those of now: a reload may have changed them. */
static bool
take_token(struct bucket *bucket, const struct rule_limit *limit, uint64_t now_ns)
{
	uint64_t every_ns = limit->every_ms * 1000000u, each_ns = every_ns / limit->burst;

	if (bucket->full_ns < now_ns)
		bucket->full_ns = now_ns;
	if (bucket->full_ns - now_ns + each_ns > every_ns)
		return false;
	bucket->full_ns += each_ns;
	return true;
}

static void
hold_back(struct limits *limits, struct bucket *bucket, const struct report *report,
	  const struct rule *rule, uint64_t now_ns)
{
	struct report_summary *summary = &bucket->summary;
	const struct pyaudit_decoded *d = report->decoded;

	if (summary->n_alerts == 0) {
		TAILQ_INSERT_TAIL(&limits->held, bucket, held_link);
		bucket->held_ns = now_ns;
		summary->since_ns = report->time_ns;
		summary->until_ns = report->time_ns;
	}
	if (report->time_ns > summary->until_ns)
		summary->until_ns = report->time_ns;
	bucket->every_ns = rule->limit.every_ms * 1000000u;
	summary->n_alerts++;
	summary->n_denials += d->action >= PYAUDIT_ACTION_BLOCK;
	if (d->action > summary->action)
		summary->action = (enum pyaudit_action)d->action;
	summary->severity = rule->severity;
	summary->generation = d->generation;
}

bool
limits_take(struct limits *limits, const struct report *report, uint64_t now_ns,
	    limits_tell_fn *tell, void *data)
{
	struct bucket *empty = NULL;
	const struct rule *strongest = NULL;
	bool tell_it = false, limited = false;

	for (unsigned i = 0; i < report->decoded->n_hits; i++) {
		const struct rule *rule = report_rule_at(report, i);
		struct bucket *bucket;
		struct keyhash key;

		if (rule == NULL || rule->action < PYAUDIT_ACTION_ALERT)
			continue; /* what only records does not ask for alerts */
		if (rule->limit.burst == 0) {
			tell_it = true;
			continue;
		}
		limited = true;
		key = key_of(limits, report, rule);
		bucket = find_bucket(limits, key);
		if (bucket == NULL) {
			bucket = new_bucket(limits, key, report, rule, tell, data);
		} else {
			TAILQ_REMOVE(&limits->idle, bucket, idle_link);
			TAILQ_INSERT_TAIL(&limits->idle, bucket, idle_link);
		}
		if (bucket == NULL || take_token(bucket, &rule->limit, now_ns)) {
			tell_it = true;
		} else if (empty == NULL) {
			empty = bucket;
			strongest = rule;
		}
	}
	if (!limited || tell_it || empty == NULL)
		return true;
	/* Counted once, at the strongest of its rules. */
	hold_back(limits, empty, report, strongest, now_ns);
	return false;
}

void
limits_sweep(struct limits *limits, uint64_t now_ns, limits_tell_fn *tell, void *data)
{
	struct bucket *bucket, *next;

	for (bucket = TAILQ_FIRST(&limits->held); bucket != NULL; bucket = next) {
		next = TAILQ_NEXT(bucket, held_link);
		if (now_ns - bucket->held_ns >= bucket->every_ns)
			tell_bucket(limits, bucket, tell, data);
	}
}

void
limits_flush(struct limits *limits, const struct process *process, limits_tell_fn *tell, void *data)
{
	struct bucket *bucket, *next;

	for (bucket = TAILQ_FIRST(&limits->held); bucket != NULL; bucket = next) {
		next = TAILQ_NEXT(bucket, held_link);
		if (process == NULL || bucket->process == process)
			tell_bucket(limits, bucket, tell, data);
	}
}
