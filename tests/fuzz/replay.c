/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer in ordinary builds: gives the fuzzer every file that its arguments name,
 * directories with all they hold, and each file's first bytes as well, for parsers break at ends.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Input is copied to a block of its exact size, so that AddressSanitizer sees every overrun. */
static void
feed(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (exact == NULL)
		abort();
	memcpy(exact, data, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static int
replay_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "re");
	uint8_t *data = malloc(size ? size : 1);
	size_t n;

	if (file == NULL || data == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	n = fread(data, 1, size, file);
	(void)fclose(file);
	feed(data, n);
	for (size_t part = 1; part < 8; part++)
		feed(data, n * part / 8);
	free(data);
	return 1;
}

static int
replay(const char *path)
{
	struct dirent *entry;
	struct stat st;
	int n_files = 0;
	DIR *dir;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	dir = opendir(path);
	if (dir == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	while ((entry = readdir(dir)) != NULL) {
		char child[4096];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		n_files += replay(child);
	}
	(void)closedir(dir);
	return n_files;
}

int
main(int argc, char **argv)
{
	int n_files = 0;

	for (int i = 1; i < argc; i++)
		n_files += replay(argv[i]);
	printf("%d inputs\n", n_files);
	return n_files > 0 ? 0 : 1;
}
