# SPDX-License-Identifier: Apache-2.0
"""The order in which the masters of HpBandSter and UltraOpt hand out jobs, without their network:
unfinished brackets in the order they began, and a new one when none of them has a job."""


class Overlap:
    def __init__(self, make_bracket):
        self.make_bracket = make_bracket  # number -> bracket with get_next_run and register_result
        self.brackets, self.made = [], 0

    def next_run(self):
        """(bracket, config id, config, budget)"""
        for bracket in self.brackets:
            found = bracket.get_next_run()
            if found is not None:
                break
        else:
            bracket = self.make_bracket(self.made)
            self.made += 1
            self.brackets.append(bracket)
            found = bracket.get_next_run()
        self.brackets = [b for b in self.brackets if not b.is_finished]
        return bracket, found[0], found[1], found[-1]  # UltraOpt has the info of the config between
