/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "keyhash.h"
#include "memory_file.h"
#include "verdict.h"

#define SLOTS 65536 /* of each table; a power of two */

struct entry {
	TAILQ_ENTRY(entry) link; /* last used last */
	struct entry *next;      /* of the same slot */
	struct keyhash key;
	uint64_t seen_s; /* of first-seen */
	uint64_t *times; /* of thresholds and sequences, in nanoseconds */
	uint32_t n, at, size;
};

TAILQ_HEAD(entries, entry);

struct table {
	struct entries used;
	struct entry *slots[SLOTS];
	size_t n, max;
};

/* An event that another one has to follow. */
struct waiting {
	TAILQ_ENTRY(waiting) link; /* in order of arrival */
	struct keyhash key;
	uint64_t time_ns, due_ns;
	uint64_t seq; /* of the report that it came with */
	const struct rule_set *rules;
	unsigned rule;
	struct process *process;
	size_t size;
	_Alignas(8) uint8_t record[];
};

TAILQ_HEAD(waitings, waiting);

struct memory {
	struct keyhash_secret secret;
	struct table entries, seen;
	struct waitings waiting;
	size_t n_times;
	struct memory_stats stats;
	bool changed; /* something to save */
	uint8_t key[MEMORY_KEY_MAX];
	size_t key_len;
	struct pyaudit_value list[PYAUDIT_VALUES_MAX];
	struct pyaudit_decoded decoded;
	_Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
};

struct memory *
memory_new(void)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL || keyhash_secret_make(&memory->secret) < 0) {
		free(memory);
		return NULL;
	}
	memory->entries.max = MEMORY_ENTRIES_MAX;
	memory->seen.max = MEMORY_SEEN_MAX;
	TAILQ_INIT(&memory->entries.used);
	TAILQ_INIT(&memory->seen.used);
	TAILQ_INIT(&memory->waiting);
	return memory;
}

/* Tables */

static void
table_remove(struct memory *memory, struct table *table, struct entry *entry)
{
	struct entry **at = &table->slots[entry->key.a % SLOTS];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	TAILQ_REMOVE(&table->used, entry, link);
	table->n--;
	memory->n_times -= entry->size;
	free(entry->times);
	free(entry);
}

static struct entry *
table_find(struct table *table, struct keyhash key)
{
	struct entry *entry = table->slots[key.a % SLOTS];

	while (entry != NULL && !keyhash_equal(entry->key, key))
		entry = entry->next;
	if (entry != NULL) {
		TAILQ_REMOVE(&table->used, entry, link);
		TAILQ_INSERT_TAIL(&table->used, entry, link);
	}
	return entry;
}

/* NULL: no memory. */
static struct entry *
table_add(struct memory *memory, struct table *table, struct keyhash key)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	if (table->n >= table->max) {
		table_remove(memory, table, TAILQ_FIRST(&table->used));
		memory->stats.n_evicted++;
	}
	entry->key = key;
	entry->next = table->slots[key.a % SLOTS];
	table->slots[key.a % SLOTS] = entry;
	TAILQ_INSERT_TAIL(&table->used, entry, link);
	table->n++;
	return entry;
}

/* Makes room for @size times; those there stay. False: no memory. */
static bool
grow_times(struct memory *memory, struct entry *entry, uint32_t size)
{
	uint64_t *times = realloc(entry->times, size * sizeof(*times));

	if (times == NULL)
		return false;
	memset(times + entry->size, 0, (size - entry->size) * sizeof(*times));
	memory->n_times += size - entry->size;
	entry->times = times;
	entry->size = size;
	/* Of others: this one was used last. */
	while (memory->n_times > MEMORY_TIMES_MAX &&
	       TAILQ_FIRST(&memory->entries.used) != entry) {
		table_remove(memory, &memory->entries, TAILQ_FIRST(&memory->entries.used));
		memory->stats.n_evicted++;
	}
	return true;
}

static void
waiting_free(struct memory *memory, struct waiting *waiting)
{
	TAILQ_REMOVE(&memory->waiting, waiting, link);
	memory->stats.n_waiting--;
	process_unref(waiting->process);
	free(waiting);
}

void
memory_free(struct memory *memory)
{
	if (memory == NULL)
		return;
	while (!TAILQ_EMPTY(&memory->entries.used))
		table_remove(memory, &memory->entries, TAILQ_FIRST(&memory->entries.used));
	while (!TAILQ_EMPTY(&memory->seen.used))
		table_remove(memory, &memory->seen, TAILQ_FIRST(&memory->seen.used));
	while (!TAILQ_EMPTY(&memory->waiting))
		waiting_free(memory, TAILQ_FIRST(&memory->waiting));
	free(memory);
}

struct memory_stats
memory_stats(const struct memory *memory)
{
	struct memory_stats stats = memory->stats;

	stats.n_entries = memory->entries.n;
	stats.n_seen = memory->seen.n;
	return stats;
}

/* Keys: the rule, whom it counts for, and values; each with its type and length before it. */

static void
put_bytes(struct memory *memory, const void *bytes, size_t len)
{
	if (len > sizeof(memory->key) - memory->key_len)
		len = sizeof(memory->key) - memory->key_len;
	memcpy(memory->key + memory->key_len, bytes, len);
	memory->key_len += len;
}

static void
put_text(struct memory *memory, const char *s, size_t len)
{
	uint32_t head[2] = {PYAUDIT_TAG_STR, (uint32_t)len};

	put_bytes(memory, head, sizeof(head));
	put_bytes(memory, s, len);
}

static bool
is_path(unsigned field, const char *s, size_t len)
{
	switch (field) {
	case PYAUDIT_F_FILE_PATH:
	case PYAUDIT_F_FILE_TARGET:
	case PYAUDIT_F_IMPORT_PATH:
		return true;
	case PYAUDIT_F_EXEC_PATH: /* without a slash it is looked for in PATH */
	case PYAUDIT_F_LIB_PATH:
		return memchr(s, '/', len) != NULL;
	default:
		return false;
	}
}

/* Other spellings of one path are one value: made absolute and plain, by the text alone. */
static void
put_path(struct memory *memory, const struct report *report, const char *s, size_t len)
{
	char whole[2 * PYAUDIT_TEXT_MAX + 2], plain[sizeof(whole)];
	struct pyaudit_value cwd = {.type = 0};
	size_t n = 0;

	if (len > PYAUDIT_TEXT_MAX)
		len = PYAUDIT_TEXT_MAX;
	if ((len == 0 || s[0] != '/') && report_field(report, PYAUDIT_F_PROC_CWD, &cwd, memory->list) &&
	    pyaudit_value_is_text(&cwd) && cwd.len <= PYAUDIT_TEXT_MAX) {
		memcpy(whole, cwd.s, cwd.len);
		n = cwd.len;
		whole[n++] = '/';
	}
	memcpy(whole + n, s, len);
	n = pyaudit_path_normalise(plain, sizeof(plain), whole, n + len);
	put_text(memory, plain, n);
}

static void
put_value(struct memory *memory, const struct pyaudit_value *v)
{
	uint32_t head[2] = {v->type, v->n_items};

	if (pyaudit_value_is_text(v) || v->type == PYAUDIT_TAG_OBJECT) {
		put_text(memory, v->s, v->len);
		return;
	}
	put_bytes(memory, head, sizeof(head));
	if (v->type == PYAUDIT_TAG_LIST)
		for (unsigned i = 0; i < v->n_items; i++)
			put_value(memory, &v->items[i]);
	else if (v->type == PYAUDIT_TAG_INT || v->type == PYAUDIT_TAG_BOOL)
		put_bytes(memory, &v->i, sizeof(v->i));
}

static void
put_field(struct memory *memory, const struct report *report, unsigned field)
{
	struct pyaudit_value v = {.type = 0};

	if (!report_field(report, field, &v, memory->list))
		v = (struct pyaudit_value){.type = 0};
	if (pyaudit_value_is_text(&v) && is_path(field, v.s, v.len))
		put_path(memory, report, v.s, v.len);
	else
		put_value(memory, &v);
}

/* What the rule remembers by; numbers that change its meaning are part of it, so that a reload of the
 * same rule goes on and a changed one begins anew. */
static void
begin_key(struct memory *memory, const struct rule *rule)
{
	const struct rule_memory *m = &rule->memory;
	uint64_t numbers[] = {m->kind, m->scope, m->count, m->within_ms, m->n_steps};

	memory->key_len = 0;
	put_text(memory, rule->id, strlen(rule->id));
	if (m->kind != RULE_FIRST_SEEN)
		put_bytes(memory, numbers, sizeof(numbers));
}

static struct keyhash
key_of(struct memory *memory, const struct report *report, const struct rule *rule,
       const struct rule_step *step, const struct memory_subject *subject)
{
	const struct rule_memory *m = &rule->memory;

	begin_key(memory, rule);
	if (m->scope == RULE_IN_PROCESS)
		put_bytes(memory, &subject->process, sizeof(subject->process));
	else if (m->scope == RULE_IN_TREE)
		put_bytes(memory, &subject->tree, sizeof(subject->tree));
	for (unsigned i = 0; i < m->n_per; i++)
		put_field(memory, report, m->per[i]);
	for (unsigned i = 0; step != NULL && i < step->n_by; i++)
		put_field(memory, report, step->by[i]);
	return keyhash_of(&memory->secret, memory->key, memory->key_len);
}

/* Firing */

static void
fire_as(struct memory *memory, struct report *report, unsigned rule, memory_fire_fn *fire, void *data)
{
	struct pyaudit_decoded *d = report->decoded;
	struct report alert = *report;
	uint16_t hits[PYAUDIT_HITS_MAX], flags = d->flags;
	uint8_t n_hits = d->n_hits, action = d->action;

	memory->stats.n_fired++;
	memcpy(hits, d->hits, sizeof(hits));
	d->hits[0] = (uint16_t)rule;
	d->n_hits = 1;
	d->action = (uint8_t)report->rules->rules[rule].action;
	d->flags &= (uint16_t)~PYAUDIT_REC_OBSERVED;
	alert.kind = report_kind_of(d);
	alert.memory = &report->rules->rules[rule].memory;
	fire(data, &alert);
	memcpy(d->hits, hits, sizeof(hits));
	d->n_hits = n_hits;
	d->action = action;
	d->flags = flags;
}

/* N in T: the last N times in a ring. Once it holds, it counts anew. */
static bool
judge_threshold(struct memory *memory, const struct rule_memory *m, struct keyhash key,
		uint64_t time_ns)
{
	struct entry *entry = table_find(&memory->entries, key);
	uint64_t oldest;

	if (entry == NULL)
		entry = table_add(memory, &memory->entries, key);
	if (entry == NULL)
		return false;
	if (entry->n == entry->size && entry->size < m->count) {
		uint32_t size = entry->size == 0 ? 8 : 2 * entry->size;

		if (!grow_times(memory, entry, size < m->count ? size : m->count))
			return false;
		entry->at = entry->n; /* it has not wrapped while it grew */
	}
	entry->times[entry->at] = time_ns;
	entry->at = (entry->at + 1) % entry->size;
	if (entry->n < entry->size)
		entry->n++;
	if (entry->n < m->count)
		return false;
	oldest = entry->times[entry->at]; /* full: the next to go */
	if (time_ns > oldest && time_ns - oldest > m->within_ms * 1000000u)
		return false;
	entry->n = entry->at = 0;
	return true;
}

/* The latest time of the step before @before, or 0. */
static uint64_t
latest_before(const uint64_t *times, uint64_t before)
{
	uint64_t latest = 0;

	for (unsigned i = 0; i < MEMORY_STEP_TIMES; i++)
		if (times[i] < before && times[i] > latest)
			latest = times[i];
	return latest;
}

/* Is there a chain of steps, each after the one before, that ends in time? Records of different lanes may
 * come out of order, so that any step can be the one that completes it. */
static bool
chain_holds(const struct rule_memory *m, const uint64_t *times)
{
	const uint64_t *last = times + (m->n_steps - 1) * MEMORY_STEP_TIMES;

	for (unsigned i = 0; i < MEMORY_STEP_TIMES; i++) {
		uint64_t at = last[i];

		for (unsigned step = m->n_steps - 1; at != 0 && step-- > 0;)
			at = latest_before(times + step * MEMORY_STEP_TIMES, at);
		if (at != 0 && last[i] - at <= m->within_ms * 1000000u)
			return true;
	}
	return false;
}

static bool
judge_sequence(struct memory *memory, const struct rule_memory *m, unsigned step, struct keyhash key,
	       uint64_t time_ns)
{
	struct entry *entry = table_find(&memory->entries, key);
	uint64_t *times;
	unsigned oldest = 0;

	if (entry == NULL) {
		entry = table_add(memory, &memory->entries, key);
		if (entry == NULL)
			return false;
	}
	if (entry->times == NULL && !grow_times(memory, entry, m->n_steps * MEMORY_STEP_TIMES))
		return false;
	times = entry->times + step * MEMORY_STEP_TIMES;
	for (unsigned i = 1; i < MEMORY_STEP_TIMES; i++)
		if (times[i] < times[oldest])
			oldest = i;
	times[oldest] = time_ns;
	if (!chain_holds(m, entry->times))
		return false;
	memset(entry->times, 0, entry->size * sizeof(*entry->times));
	return true;
}

/* When the rule saw its first event at all: while it learns, nothing is told. */
static bool
is_learning(struct memory *memory, const struct rule *rule, uint64_t time_s)
{
	struct keyhash key;
	struct entry *entry;

	if (rule->memory.learn_ms == 0)
		return false;
	begin_key(memory, rule);
	put_text(memory, "since", 5);
	key = keyhash_of(&memory->secret, memory->key, memory->key_len);
	entry = table_find(&memory->seen, key);
	if (entry == NULL) {
		entry = table_add(memory, &memory->seen, key);
		if (entry == NULL)
			return false;
		entry->seen_s = time_s;
		memory->changed = true;
	}
	return time_s < entry->seen_s + rule->memory.learn_ms / 1000;
}

static bool
judge_first_seen(struct memory *memory, const struct rule *rule, struct keyhash key, uint64_t time_ns)
{
	uint64_t time_s = time_ns / 1000000000u, keep_s = rule->memory.keep_ms / 1000;
	bool learning = is_learning(memory, rule, time_s);
	struct entry *entry = table_find(&memory->seen, key);
	bool known = entry != NULL && (keep_s == 0 || time_s <= entry->seen_s + keep_s);

	if (entry == NULL)
		entry = table_add(memory, &memory->seen, key);
	if (entry == NULL)
		return false;
	/* Days matter; the file is not written for seconds. */
	if (!known || time_s > entry->seen_s + 3600) {
		entry->seen_s = time_s;
		memory->changed = true;
	}
	return !known && !learning;
}

/* What it had to be followed by has come. */
static void
end_absence(struct memory *memory, const struct rule_memory *m, struct keyhash key, uint64_t time_ns)
{
	struct waiting *waiting, *next;

	for (waiting = TAILQ_FIRST(&memory->waiting); waiting != NULL; waiting = next) {
		next = TAILQ_NEXT(waiting, link);
		if (keyhash_equal(waiting->key, key) && time_ns >= waiting->time_ns &&
		    time_ns - waiting->time_ns <= m->within_ms * 1000000u)
			waiting_free(memory, waiting);
	}
}

static void
begin_absence(struct memory *memory, const struct report *report, unsigned rule, struct keyhash key,
	      uint64_t time_ns, const uint8_t *record, size_t size)
{
	const struct rule_memory *m = &report->rules->rules[rule].memory;
	union {
		const struct process *in;
		struct process *out;
	} process = {.in = report->process};
	struct waiting *waiting;

	if (memory->stats.n_waiting >= MEMORY_WAITING_MAX) {
		waiting_free(memory, TAILQ_FIRST(&memory->waiting));
		memory->stats.n_evicted++;
	}
	waiting = malloc(sizeof(*waiting) + size);
	if (waiting == NULL)
		return;
	*waiting = (struct waiting){
		.key = key,
		.time_ns = time_ns,
		.due_ns = time_ns + (m->within_ms + MEMORY_GRACE_MS) * 1000000u,
		.seq = report->seq,
		.rules = report->rules,
		.rule = rule,
		.process = process.out != NULL ? process_ref(process.out) : NULL,
		.size = size,
	};
	memcpy(waiting->record, record, size);
	TAILQ_INSERT_TAIL(&memory->waiting, waiting, link);
	memory->stats.n_waiting++;
}

bool
memory_sort(struct pyaudit_decoded *decoded, const struct rule_set *rules, struct memory_hits *ret)
{
	unsigned n = 0;

	ret->n = 0;
	if (rules == NULL)
		return true;
	for (unsigned i = 0; i < decoded->n_hits; i++) {
		enum rule_part part;
		unsigned index;
		const struct rule *rule = rules_at(rules, decoded->hits[i], &part, &index);

		if (rule == NULL || !rule_part_is_silent(rule, part)) {
			decoded->hits[n++] = decoded->hits[i];
			continue;
		}
		ret->hit[ret->n].rule = (uint16_t)(rule - rules->rules);
		ret->hit[ret->n].part = (uint8_t)part;
		ret->hit[ret->n++].index = (uint8_t)index;
	}
	decoded->n_hits = (uint8_t)n;
	return ret->n == 0 || n > 0 || decoded->action > PYAUDIT_ACTION_RECORD;
}

void
memory_judge(struct memory *memory, struct report *report, const struct memory_hits *hits,
	     const struct memory_subject *subject, const uint8_t *record, size_t record_size,
	     uint64_t now_ns, memory_fire_fn *fire, void *data)
{
	uint64_t time_ns = report->time_ns < now_ns ? report->time_ns : now_ns;

	for (unsigned i = 0; i < hits->n; i++) {
		const struct rule *rule = &report->rules->rules[hits->hit[i].rule];
		const struct rule_memory *m = &rule->memory;
		const struct rule_step *step = NULL;
		struct keyhash key;
		bool holds = false;

		if (hits->hit[i].part == RULE_EXCEPTED) {
			struct rule_count *count = rule->exceptions[hits->hit[i].index].count;

			count->n++;
			count->last_ns = time_ns;
			continue;
		}
		if (hits->hit[i].part == RULE_STEP)
			step = &m->steps[hits->hit[i].index];
		key = key_of(memory, report, rule, step, subject);
		switch (m->kind) {
		case RULE_THRESHOLD:
			holds = judge_threshold(memory, m, key, time_ns);
			break;
		case RULE_SEQUENCE:
			holds = step != NULL &&
				judge_sequence(memory, m, hits->hit[i].index, key, time_ns);
			break;
		case RULE_FIRST_SEEN:
			holds = judge_first_seen(memory, rule, key, time_ns);
			break;
		case RULE_ABSENCE:
			if (step != NULL)
				end_absence(memory, m, key, time_ns);
			else
				begin_absence(memory, report, hits->hit[i].rule, key, time_ns, record,
					      record_size);
			break;
		case RULE_NO_MEMORY:
			break;
		}
		if (holds)
			fire_as(memory, report, hits->hit[i].rule, fire, data);
	}
}

static unsigned
steps_within(const struct entry *entry, const struct rule_memory *m, uint64_t time_ns)
{
	unsigned steps = 0;

	for (unsigned i = 0; entry->times != NULL && i < m->n_steps * MEMORY_STEP_TIMES; i++) {
		uint64_t at = entry->times[i];

		if (at != 0 && at <= time_ns && time_ns - at <= m->within_ms * 1000000u)
			steps |= 1u << i / MEMORY_STEP_TIMES;
	}
	return steps;
}

static uint32_t
times_within(const struct entry *entry, const struct rule_memory *m, uint64_t time_ns)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < entry->n; i++)
		n += entry->times[i] >= time_ns ||
		     time_ns - entry->times[i] <= m->within_ms * 1000000u;
	return n;
}

void
memory_look(struct memory *memory, struct report *report, const struct memory_hits *hits, unsigned i,
	    const struct memory_subject *subject, struct memory_state *ret)
{
	const struct rule *rule = &report->rules->rules[hits->hit[i].rule];
	const struct rule_memory *m = &rule->memory;
	const struct rule_step *step = hits->hit[i].part == RULE_STEP ? &m->steps[hits->hit[i].index]
								     : NULL;
	struct keyhash key = key_of(memory, report, rule, step, subject);
	struct entry *entry = table_find(m->kind == RULE_FIRST_SEEN ? &memory->seen : &memory->entries,
					 key);
	const struct waiting *waiting;

	*ret = (struct memory_state){0};
	if (m->kind == RULE_ABSENCE)
		TAILQ_FOREACH(waiting, &memory->waiting, link)
			ret->n += keyhash_equal(waiting->key, key);
	else if (entry != NULL && m->kind == RULE_THRESHOLD)
		ret->n = times_within(entry, m, report->time_ns);
	else if (entry != NULL && m->kind == RULE_SEQUENCE)
		ret->steps = steps_within(entry, m, report->time_ns);
	else if (entry != NULL)
		ret->is_known = m->keep_ms == 0 || report->time_ns / 1000000000u <=
							   entry->seen_s + m->keep_ms / 1000;
}

static void
fire_waiting(struct memory *memory, struct waiting *waiting, memory_fire_fn *fire, void *data)
{
	struct report report = {
		.seq = waiting->seq,
		.process = waiting->process,
		.decoded = &memory->decoded,
		.rules = waiting->rules,
	};

	if (pyaudit_record_decode(&memory->decoded, waiting->record, waiting->size) < 0)
		return;
	memory->decoded.event.scratch = memory->scratch;
	memory->decoded.event.scratch_size = sizeof(memory->scratch);
	report.time_ns = waiting->time_ns;
	fire_as(memory, &report, waiting->rule, fire, data);
}

void
memory_sweep(struct memory *memory, uint64_t now_ns, memory_fire_fn *fire, void *data)
{
	struct waiting *waiting, *next;

	for (waiting = TAILQ_FIRST(&memory->waiting); waiting != NULL; waiting = next) {
		next = TAILQ_NEXT(waiting, link);
		if (now_ns < waiting->due_ns)
			continue;
		fire_waiting(memory, waiting, fire, data);
		waiting_free(memory, waiting);
	}
}

void
memory_forget_rules(struct memory *memory, const struct rule_set *rules)
{
	struct waiting *waiting, *next;

	for (waiting = TAILQ_FIRST(&memory->waiting); waiting != NULL; waiting = next) {
		next = TAILQ_NEXT(waiting, link);
		if (waiting->rules != rules)
			continue;
		waiting_free(memory, waiting);
		memory->stats.n_evicted++;
	}
}

/* Across restarts */

int
memory_load(struct memory *memory, const char *path)
{
	struct memory_file file = {0};
	int r = memory_file_read(&file, path, MEMORY_SEEN_MAX);

	if (r < 0)
		return r;
	memory->secret = file.secret;
	for (size_t i = 0; i < file.n; i++) {
		struct entry *entry = table_add(memory, &memory->seen, file.seen[i].key);

		if (entry != NULL)
			entry->seen_s = file.seen[i].seen_s;
	}
	free(file.seen);
	return 0;
}

int
memory_save(struct memory *memory, const char *path)
{
	struct memory_file file = {.secret = memory->secret};
	struct entry *entry;
	int r;

	if (!memory->changed)
		return 0;
	file.seen = calloc(memory->seen.n + 1, sizeof(*file.seen));
	if (file.seen == NULL)
		return -ENOMEM;
	TAILQ_FOREACH(entry, &memory->seen.used, link) {
		file.seen[file.n].key = entry->key;
		file.seen[file.n++].seen_s = entry->seen_s;
	}
	r = memory_file_write(&file, path);
	free(file.seen);
	if (r == 0)
		memory->changed = false;
	return r;
}
