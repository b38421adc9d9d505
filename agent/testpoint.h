/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places in the agent where a test kills it. The library that ships has none: a test build defines
 * PYAUDIT_TEST_POINT, the name of a function that gets the point's name.
 */
#ifndef AGENT_TESTPOINT_H
#define AGENT_TESTPOINT_H

#ifdef PYAUDIT_TEST_POINT
void PYAUDIT_TEST_POINT(const char *name);
#define TEST_POINT(name) PYAUDIT_TEST_POINT(name)
#else
#define TEST_POINT(name) ((void)0)
#endif

#endif
