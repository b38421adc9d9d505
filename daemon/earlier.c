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

void *
earlier_read(const char *path)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(freep) char *bytes = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > PYAUDIT_IMAGE_SIZE_MAX)
		return NULL;
	bytes = malloc((size_t)st.st_size);
	if (bytes == NULL || read(fd, bytes, (size_t)st.st_size) != st.st_size ||
	    pyaudit_image_check(bytes, (size_t)st.st_size) != 0)
		return NULL;
	return TAKE_PTR(bytes);
}

/* Exceptions have numbers of their own and the id of their rule: the first of an id stands for all that @now has
 * no more of. */
static unsigned
find(const void *now, const char *id, unsigned from)
{
	unsigned n = pyaudit_image_n_rules(now);

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (from + i) % n;

		if (strcmp(pyaudit_image_rule_id(now, at), id) == 0)
			return at;
	}
	return EARLIER_GONE;
}

void
earlier_note(struct earlier *earlier, const void *image, const void *now, const struct rule_set *rules)
{
	unsigned next = 0;

	earlier_fini(earlier);
	if (image == NULL)
		return;
	earlier->n = pyaudit_image_n_rules(image);
	earlier->numbers = calloc(earlier->n + 1, sizeof(*earlier->numbers));
	if (earlier->numbers == NULL) {
		earlier_fini(earlier);
		return;
	}
	/* In the same order, but for a few: looked for from where the last one was. */
	for (unsigned i = 0; i < earlier->n; i++) {
		unsigned at = find(now, pyaudit_image_rule_id(image, i), next);

		earlier->numbers[i] = (uint16_t)at;
		if (at != EARLIER_GONE)
			next = at + 1;
	}
	earlier->generation = pyaudit_image_generation(image);
	earlier->rules = rules;
}

bool
earlier_translate(const struct earlier *earlier, struct pyaudit_decoded *decoded)
{
	if (earlier->generation == 0 || decoded->generation != earlier->generation)
		return false;
	for (unsigned i = 0; i < decoded->n_hits; i++)
		decoded->hits[i] = decoded->hits[i] < earlier->n ? earlier->numbers[decoded->hits[i]]
								 : EARLIER_GONE;
	return true;
}

void
earlier_fini(struct earlier *earlier)
{
	free(earlier->numbers);
	*earlier = (struct earlier){0};
}
