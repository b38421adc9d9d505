/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads share the table without a lock. An entry has a version that is odd while it is written:
 * whoever reads takes the version first and last, and believes what it read in between if it was
 * even and the same. Words are written with release and read with acquire, so that who sees a word
 * of a newer entry sees the newer version, too. A thread that another one's fork caught writing
 * leaves an entry in the child that stays odd, and is never used there.
 *
 * The hash chooses the entry and nothing more: who could make two paths meet there makes the one
 * forget the other.
 */
#include <stdatomic.h>
#include <string.h>

#include "memo.h"
#include "sums.h"

#define N_WORDS (MEMO_ENTRY_SIZE / 8 - 3)

struct entry {
	_Atomic uint64_t version;
	_Atomic uint64_t seen; /* hash of what came last: the second time it is written */
	_Atomic uint64_t hash; /* of what stands here: most others are told by it */
	_Atomic uint64_t words[N_WORDS];
};
static_assert(sizeof(struct entry) == MEMO_ENTRY_SIZE, "entry size");

static struct entry *entries; /* MEMO_ENTRIES */

size_t
memo_use(void *room)
{
	if (room != NULL)
		entries = room;
	return MEMO_ENTRIES * sizeof(*entries);
}

#define TEXT_TYPES                                                                                 \
	(1u << PYAUDIT_TAG_STR | 1u << PYAUDIT_TAG_BYTES | 1u << PYAUDIT_TAG_OBJECT |              \
	 1u << PYAUDIT_TAG_CODE)
#define NUMBER_TYPES                                                                               \
	(1u << PYAUDIT_TAG_NONE | 1u << PYAUDIT_TAG_BOOL | 1u << PYAUDIT_TAG_INT |                 \
	 1u << PYAUDIT_TAG_BIGINT)

static inline bool
is_text(const struct pyaudit_value *v)
{
	return (TEXT_TYPES >> v->type & 1) != 0;
}

static inline uint64_t
type_word(const struct pyaudit_value *v)
{
	return (uint64_t)v->len << 32 | v->type;
}

bool
memo_key(struct memo_key *ret, uint32_t policy, uint16_t event, const struct pyaudit_value *values,
	 unsigned n_values)
{
	uint64_t head = (uint64_t)policy << 32 | (uint64_t)event << 8 | n_values;
	struct sums sums = {{head, n_values}, {0, 0}};
	size_t n_words = 1;

	if (n_values > PYAUDIT_ARGS_MAX)
		return false;
	for (const struct pyaudit_value *v = values; v < values + n_values; v++) {
		if (v->flags != 0 || ((TEXT_TYPES | NUMBER_TYPES) >> v->type & 1) == 0)
			return false;
		n_words += 2 + (size_t)v->len / 8; /* that many at most */
		if (n_words > N_WORDS)
			return false;
		sums.sum += (words2){type_word(v), 0};
		if (is_text(v))
			add_text(&sums, v->s, v->len);
		else
			add_words(&sums, (words2){(uint64_t)v->i, 0});
	}
	sums.sum = sums.sum * 3 + sums.sum_of_sums;
	ret->head = head;
	ret->values = values;
	ret->n_values = n_values;
	ret->hash = (sums.sum[0] ^ (sums.sum[1] << 32 | sums.sum[1] >> 32)) * PYAUDIT_HASH_K;
	ret->hash ^= ret->hash >> 32;
	ret->hash *= PYAUDIT_HASH_K;
	return true;
}

static inline struct entry *
entry_of(const struct memo_key *key)
{
	return &entries[(key->hash >> 40) % MEMO_ENTRIES];
}

static inline uint64_t
load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static inline void
store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

/* Are these the words from @word on? Afterwards @word is behind them. */
static inline bool
value_is(const _Atomic uint64_t **word, const struct pyaudit_value *v)
{
	const _Atomic uint64_t *at = *word;
	const char *s = v->s;
	size_t n = v->len;
	uint64_t differ = 0;

	if (load(at) != type_word(v))
		return false;
	if (!is_text(v)) {
		*word = at + 2;
		return load(at + 1) == (uint64_t)v->i;
	}
	at++;
	for (; n > 32; at += 4, s += 32, n -= 32)
		differ |= (load(at) ^ pyaudit_load64(s)) | (load(at + 1) ^ pyaudit_load64(s + 8)) |
			  (load(at + 2) ^ pyaudit_load64(s + 16)) |
			  (load(at + 3) ^ pyaudit_load64(s + 24));
	for (; n > 8; at++, s += 8, n -= 8)
		differ |= load(at) ^ pyaudit_load64(s);
	if (n > 0)
		differ |= load(at++) ^ last_word(v->s, v->len);
	*word = at;
	return differ == 0;
}

static inline void
put_value(_Atomic uint64_t **word, const struct pyaudit_value *v)
{
	_Atomic uint64_t *at = *word;
	size_t n = v->len;

	store(at++, type_word(v));
	if (!is_text(v)) {
		store(at++, (uint64_t)v->i);
	} else {
		for (const char *s = v->s; n > 8; s += 8, n -= 8)
			store(at++, pyaudit_load64(s));
		if (n > 0)
			store(at++, last_word(v->s, v->len));
	}
	*word = at;
}

bool
memo_has(const struct memo_key *key)
{
	const struct entry *entry = entry_of(key);
	const _Atomic uint64_t *word = entry->words;
	uint64_t version = load(&entry->version);

	if ((version & 1) != 0 || load(&entry->hash) != key->hash || load(word++) != key->head)
		return false;
	for (unsigned i = 0; i < key->n_values; i++)
		if (!value_is(&word, &key->values[i]))
			return false;
	return load(&entry->version) == version;
}

static __attribute__((noinline)) void
write_entry(struct entry *entry, const struct memo_key *key)
{
	uint64_t version = atomic_load_explicit(&entry->version, memory_order_relaxed);
	_Atomic uint64_t *word = entry->words;

	/* Somebody else is writing it: let them. */
	if ((version & 1) != 0 ||
	    !atomic_compare_exchange_strong_explicit(&entry->version, &version, version + 1,
						     memory_order_acq_rel, memory_order_relaxed))
		return;
	store(&entry->hash, key->hash);
	store(word++, key->head);
	for (unsigned i = 0; i < key->n_values; i++)
		put_value(&word, &key->values[i]);
	store(&entry->version, version + 2);
}

void
memo_add(const struct memo_key *key)
{
	struct entry *entry = entry_of(key);

	if (atomic_load_explicit(&entry->seen, memory_order_relaxed) == key->hash)
		write_entry(entry, key);
	else
		atomic_store_explicit(&entry->seen, key->hash, memory_order_relaxed);
}
