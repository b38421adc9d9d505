/* SPDX-License-Identifier: Apache-2.0 */
#include "earlier.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "event.h"
#include "verdict.h"
#include "pyaudit/policy.h"

#define HEAD "generation "
#define ID_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789._-"

static void
policy_forget(struct earlier_policy *policy)
{
	free(policy->ids);
	free(policy->numbers);
	*policy = (struct earlier_policy){0};
}

/* Makes room for one more. */
static struct earlier_policy *
add_policy(struct earlier *earlier)
{
	if (earlier->n == EARLIER_MAX) {
		policy_forget(&earlier->policies[0]);
		earlier->n--;
		memmove(earlier->policies, earlier->policies + 1,
			earlier->n * sizeof(earlier->policies[0]));
	}
	earlier->policies[earlier->n] = (struct earlier_policy){0};
	return &earlier->policies[earlier->n++];
}

/* Reading */

static char *
read_file(const char *path, size_t *ret_size)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	CLEANUP(freep) char *bytes = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > EARLIER_SIZE_MAX)
		return NULL;
	bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL || read(fd, bytes, (size_t)st.st_size) != st.st_size)
		return NULL;
	bytes[st.st_size] = '\0';
	*ret_size = (size_t)st.st_size;
	return TAKE_PTR(bytes);
}

/* One policy of the text, whose lines become texts. Returns where the next one begins, or NULL. */
static char *
parse_policy(struct earlier_policy *ret, char *at)
{
	char *ids, *end;

	if (strncmp(at, HEAD, sizeof(HEAD) - 1) != 0)
		return NULL;
	ret->generation = strtoull(at + sizeof(HEAD) - 1, &end, 10);
	if (ret->generation == 0 || *end != '\n')
		return NULL;
	ids = at = end + 1;
	while (*at != '\0' && strncmp(at, HEAD, sizeof(HEAD) - 1) != 0) {
		size_t len = strspn(at, ID_CHARACTERS);

		if (len == 0 || len > PYAUDIT_RULE_ID_MAX || at[len] != '\n' || ret->n == PYAUDIT_RULES_MAX)
			return NULL;
		at[len] = '\0';
		ret->n++;
		at += len + 1;
	}
	ret->size = (size_t)(at - ids);
	ret->ids = malloc(ret->size + 1);
	if (ret->ids == NULL)
		return NULL;
	memcpy(ret->ids, ids, ret->size);
	return at;
}

void
earlier_read(struct earlier *earlier, const char *path)
{
	size_t size = 0;
	CLEANUP(freep) char *bytes = read_file(path, &size);
	char *at = bytes;

	earlier_fini(earlier);
	while (at != NULL && at < bytes + size)
		at = parse_policy(add_policy(earlier), at);
	if (at == NULL)
		earlier_fini(earlier);
}

uint64_t
earlier_newest(const struct earlier *earlier)
{
	return earlier->n > 0 ? earlier->policies[earlier->n - 1].generation : 0;
}

/* Writing */

static void
add_head(struct buf *text, uint64_t generation)
{
	buf_add_str(text, HEAD);
	buf_add_uint(text, generation);
	buf_add_char(text, '\n');
}

void
earlier_text(const struct earlier *earlier, const void *image, struct buf *ret)
{
	for (unsigned i = earlier->n == EARLIER_MAX; i < earlier->n; i++) {
		const struct earlier_policy *policy = &earlier->policies[i];

		add_head(ret, policy->generation);
		for (const char *id = policy->ids; id < policy->ids + policy->size; id += strlen(id) + 1) {
			buf_add_str(ret, id);
			buf_add_char(ret, '\n');
		}
	}
	add_head(ret, pyaudit_image_generation(image));
	for (unsigned i = 0; i < pyaudit_image_n_rules(image); i++) {
		buf_add_str(ret, pyaudit_image_rule_id(image, i));
		buf_add_char(ret, '\n');
	}
}

/* Numbers */

struct named {
	const char *id;
	unsigned number;
};

static int
by_id(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* The number of a rule now. Exceptions have numbers of their own and the id of their rule: each is looked for behind the
 * one before, and the first of an id stands for all that there are no more of. */
static unsigned
number_of(const struct named *names, unsigned n, const char *id, unsigned from)
{
	unsigned low = 0, high = n, first;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (strcmp(names[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == n || strcmp(names[low].id, id) != 0)
		return EARLIER_GONE;
	first = names[low].number;
	for (; low < n && strcmp(names[low].id, id) == 0; low++)
		if (names[low].number >= from)
			return names[low].number;
	return first;
}

static void
translate_policy(struct earlier_policy *policy, const struct named *names, unsigned n_names)
{
	const char *id = policy->ids;
	unsigned from = 0;

	free(policy->numbers);
	policy->numbers = calloc(policy->n + 1, sizeof(*policy->numbers));
	for (unsigned i = 0; policy->numbers != NULL && i < policy->n; i++, id += strlen(id) + 1) {
		unsigned number = number_of(names, n_names, id, from);

		policy->numbers[i] = (uint16_t)number;
		if (number != EARLIER_GONE)
			from = number + 1;
	}
}

static void
add_image(struct earlier *earlier, const void *image)
{
	struct earlier_policy *policy = add_policy(earlier);
	struct buf ids;

	buf_init(&ids);
	(void)buf_reserve(&ids, 1);
	for (unsigned i = 0; i < pyaudit_image_n_rules(image); i++) {
		const char *id = pyaudit_image_rule_id(image, i);

		buf_add(&ids, id, strlen(id) + 1);
	}
	if (ids.failed) {
		buf_fini(&ids);
		earlier->n--;
		return;
	}
	*policy = (struct earlier_policy){.generation = pyaudit_image_generation(image),
					  .ids = ids.data,
					  .size = ids.len,
					  .n = pyaudit_image_n_rules(image)};
}

void
earlier_note(struct earlier *earlier, const void *image, const struct rule_set *rules)
{
	unsigned n = pyaudit_image_n_rules(image);
	CLEANUP(freep) struct named *names = calloc(n + 1, sizeof(*names));

	earlier->rules = rules;
	for (unsigned i = 0; names != NULL && i < n; i++)
		names[i] = (struct named){pyaudit_image_rule_id(image, i), i};
	if (names == NULL)
		n = 0; /* then all of them are gone */
	else
		qsort(names, n, sizeof(*names), by_id);
	add_image(earlier, image);
	for (unsigned i = 0; i < earlier->n; i++)
		translate_policy(&earlier->policies[i], names, n);
}

bool
earlier_translate(const struct earlier *earlier, struct pyaudit_decoded *decoded)
{
	const struct earlier_policy *policy = NULL;

	for (unsigned i = earlier->n; policy == NULL && i-- > 0;)
		if (earlier->policies[i].generation == decoded->generation)
			policy = &earlier->policies[i];
	if (policy == NULL || policy->numbers == NULL || decoded->generation == 0)
		return false;
	for (unsigned i = 0; i < decoded->n_hits; i++)
		decoded->hits[i] = decoded->hits[i] < policy->n ? policy->numbers[decoded->hits[i]]
								: EARLIER_GONE;
	return true;
}

void
earlier_fini(struct earlier *earlier)
{
	while (earlier->n > 0)
		policy_forget(&earlier->policies[--earlier->n]);
	earlier->rules = NULL;
}
