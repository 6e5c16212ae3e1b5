"""Texts to verify the export of a language model with that is used as it is, and so has no data of its own."""

TEXTS = (
    "A lighthouse keeper writes down the weather three times a day: the wind, the clouds, the height of the "
    "waves. In winter the ink freezes, so the bottle stands on the stove. Most of the pages say the same thing, "
    "and yet nobody has thrown one away. When a ship is late, the first question is always what the book says "
    "about that night.",
    "To bake a simple loaf, mix 500 grams of flour with 350 grams of water, 10 grams of salt and a little yeast. "
    "Fold the dough every half hour, four times in all, then let it rest until it has doubled. Heat the oven as "
    "far as it goes, bake for forty minutes, and wait until the bread is cold before you cut it.",
    "Question: Why does the moon show us always the same side? Answer: It turns around itself in the same time "
    "in which it travels once around the Earth. The tides that the Earth raises in its rock have slowed its "
    "rotation until both took equally long. Many moons of the large planets do the same.",
    "The committee met on Tuesday to discuss the new bridge. Engineers explained that the old one carries twice "
    "the traffic it was built for, and that repairs would take two summers. Shop owners asked for a footpath "
    "that stays open. A decision is expected in March, after the costs of both plans have been compared.",
    'def mean(values):\n    """The arithmetic mean of a list of numbers."""\n    if not values:\n        '
    'raise ValueError("expected at least one value")\n    return sum(values) / len(values)\n\n\ndef '
    "median(values):\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n    if len(ordered) % 2:\n   "
    "     return ordered[middle]\n    return (ordered[middle - 1] + ordered[middle]) / 2\n",
    "Dear Mrs Novak, thank you for your letter of 4 May. We are sorry that the lamp arrived broken. A new one "
    "left our warehouse this morning and should reach you by Friday; you need not send the old one back. If "
    "anything else is not as you expected, please call us between nine and five, or simply answer this message.",
    "Rivers carry sand from the mountains to the sea. Where the water is fast it moves stones, where it is slow "
    "it drops even the finest mud. That is why a delta is flat and fertile, and why a harbour at its mouth has "
    "to be dredged every few years. A dam upstream keeps the sand back, and the coast below begins to shrink.",
    "My grandmother had two rules for chess. Never move a piece before you know what your opponent wants, and "
    "never apologise for winning. She played slowly, hummed while she thought, and lost only to people who "
    "talked less than she did. When I was nine I beat her for the first time, and she ordered cake for the whole "
    "room.",
    "A battery stores energy in two materials that would like to exchange electrons. As long as the circuit is "
    "open, they have to wait. Close it, and the electrons take the long way through the lamp while ions move "
    "inside. Charging pushes both back. With every round a little of the material changes for good, so no "
    "battery lasts forever.",
    "List of things to pack: a warm sweater, two pairs of socks, a torch with fresh batteries, matches in a dry "
    "tin, a map of the valley, bread and cheese for two days, a bottle that holds at least one litre, and a "
    "small bag for everything that has to be carried home again. Tell somebody where you are going and when you "
    "will be back.",
    "The first printed maps of the coast were wrong in the same way: they drew the islands too large. Sailors "
    "had measured them by the hours it took to pass, and the current was against them. Only when clocks became "
    "good enough to carry at sea did the islands shrink to their true size, and some of them vanished altogether.",
    "Summary of results: of 120 plants, 40 received no fertiliser, 40 half the usual amount, and 40 all of it. "
    "After six weeks the second group was on average 11 cm taller than the first, the third only 2 cm taller "
    "than the second. We conclude that half the amount is enough on this soil, and recommend to repeat the trial "
    "in a dry year.",
    "春天来了，河边的柳树先绿了。早上七点，卖豆浆的老人已经把炉子烧热，学生们骑着自行车从他面前经过。他认识每一个"
    "人，知道谁喜欢甜的，谁喜欢咸的。有人问他为什么不换一个大一点的店，他说，这里能看见水，也能看见人，已经够了。",
    "问题：为什么天空是蓝色的？回答：太阳光由许多颜色组成，空气中的分子会把短波长的光散射得更多，所以蓝光从四面八"
    "方进入我们的眼睛。傍晚时阳光要穿过更厚的空气，蓝光大多散失了，剩下的红光和橙光便染红了天边。",
    "会议定于下周三上午九点在二楼会议室举行。请各部门提前准备本季度的工作总结和下一季度的计划，每人发言不超过十分"
    "钟。如果有同事因出差不能参加，可以通过电话加入，并在会前把材料发送给秘书处。",
    "做番茄炒蛋很简单：先把三个鸡蛋打散，加少许盐；番茄切成小块。锅里放油，油热后倒入鸡蛋，凝固后盛出。再炒番茄，"
    "出汁后加一点糖，最后把鸡蛋倒回锅里翻炒几下，撒上葱花就可以上桌了。",
)
