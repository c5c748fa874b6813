"""Words of the generated café: names, area codes, its menu, what guests write in ratings.

Lists of single words are one text each, to be split: they read better than a column of quotes.
"""

from __future__ import annotations

from typing import Final

FIRST_NAMES: Final = """
Abigail Adam Alice Amber Andrea Andrew Angela Anna Anthony Ashley Barbara Benjamin Beth Brandon Brian Bridget
Carl Carmen Caroline Catherine Chloe Christine Claire Colin Craig Daniel David Deborah Dennis Diana Donna
Dylan Edward Eleanor Elena Elijah Ella Emily Emma Eric Erin Ethan Eva Evan Fiona Frances Frank Gabriel George
Grace Graham Greg Hannah Harold Hazel Heather Helen Henry Holly Howard Ian Irene Isaac Isabel Jack Jacob James
Jane Jason Jean Jeremy Jessica Joan Joel John Jonah Joseph Joyce Judith Julia Karen Kate Keith Kelly Kevin Kim
Kyle Laura Lauren Leo Leslie Lewis Lily Linda Logan Louise Lucas Lucy Luke Margaret Maria Mark Martha Martin
Mary Matthew Maya Megan Melissa Mia Michael Michelle Miles Molly Nadia Nancy Natalie Nathan Neil Nicole Nina
Noah Nora Oliver Olivia Oscar Owen Pamela Patrick Paul Paula Penelope Peter Philip Phoebe Rachel Ralph Rebecca
Richard Robert Robin Rosa Rose Ruth Ryan Sally Samuel Sandra Sarah Scott Sean Sharon Simon Sophie Stella
Stephen Susan Tara Teresa Theo Thomas Tina Tony Tracy Ursula Valerie Vera Victor Violet Vivian Walter Wendy
William Yvonne Zachary Zoe
"""

LAST_NAMES: Final = """
Abbott Adler Ainsworth Aldridge Archer Ashby Atwood Bailey Barlow Barnes Baxter Beckett Bell Benson Bishop
Blake Bowen Bradford Brady Briggs Brooks Burke Byrne Caldwell Calloway Carver Chandler Clayton Coleman Conrad
Cooper Crawford Dalton Davenport Dawson Delaney Denton Dixon Doyle Draper Drummond Dunn Eastwood Elliott Ellis
Emerson Everett Farrell Ferris Fielding Finch Fischer Fletcher Foster Fraser Gallagher Garner Gibson Gilmore
Goodwin Graves Griffin Hale Hamilton Hammond Harding Harlow Hartley Hawkins Hayes Henderson Hobbs Holloway
Horton Hubbard Ingram Irving Jarvis Jennings Kaplan Keane Keller Kendall Kessler Kirby Knight Lambert Langley
Larkin Lawson Lennox Lindqvist Lockwood Lowell Maddox Mallory Marlowe Marsh Mercer Meyer Middleton Monroe
Morrow Mueller Nash Newell Nolan North Novak Oakley Olsen Osborne Palmer Parrish Patterson Payne Pearson
Pemberton Perkins Pike Porter Prescott Quinn Radcliffe Ramsey Redmond Reeves Rhodes Riley Romano Rowe Sawyer
Schmidt Sharp Shaw Sheldon Sinclair Slater Spencer Stanton Sterling Stone Sutton Talbot Tanner Thorne Tucker
Turner Underwood Vance Vaughn Wade Walsh Warner Webb Weston Whitaker Wilder Winslow Wolfe Woods Wyatt Yates
York
"""

SPANISH_FIRST: Final = """
Alejandra Alejandro Ana Beatriz Camila Carlos Catalina Diego Elena Felipe Fernanda Gabriela Hugo Javier Jorge
Juan Lucia Luis Manuel Mariana Mateo Miguel Natalia Pablo Pilar Raquel Rodrigo Santiago Sofia Valentina
"""

SPANISH_LAST: Final = """
Aguilar Alvarez Castillo Cruz Delgado Dominguez Espinoza Fuentes Garza Guerrero Herrera Ibarra Jimenez Leon
Medina Mendoza Molina Navarro Ortega Paredes Ramos Rios Romero Salazar Serrano Soto Torres Vargas Vega Zamora
"""

#: Chinese names, each with its spelling for the email address.
CHINESE_LAST: Final = """
陈:chen 林:lin 黄:huang 张:zhang 李:li 王:wang 吴:wu 刘:liu 蔡:cai 杨:yang 许:xu 郑:zheng 谢:xie
郭:guo 洪:hong 邱:qiu 曾:zeng 廖:liao 赖:lai 徐:xu 周:zhou 叶:ye 苏:su 庄:zhuang 江:jiang 何:he
罗:luo 高:gao 潘:pan 朱:zhu
"""

CHINESE_FIRST: Final = """
美玲:meiling 志明:zhiming 淑芬:shufen 建国:jianguo 雅婷:yating 家豪:jiahao 怡君:yijun 俊杰:junjie
晓燕:xiaoyan 文博:wenbo 思远:siyuan 佳怡:jiayi 子涵:zihan 雨桐:yutong 浩然:haoran 欣妍:xinyan
明轩:mingxuan 梓萱:zixuan 伟:wei 芳:fang 静:jing 磊:lei 敏:min 丽:li 强:qiang 娜:na 军:jun 洁:jie
婷:ting 宇航:yuhang
"""

#: In each of these area codes the numbers 555-0100 to 555-0199 are reserved for fiction.
AREA_CODES: Final = """
217 312 773 708 847 630 815 309 618 224 331 779 872 216 330 419 440 513 614 740 937 234 567 380 260 317 574
765 812 219 463 262 414 608 715 920 313 248 269 517 586 616 734 810 989 314 417 573 636 660 816 515 563 319
641 712 502 270 606 859
"""

OFFICES: Final = (
    "Lockwood & Vance",
    "Bluebell Dental",
    "Northgate Realty",
    "Foxglove Studio",
    "Harrow Insurance",
    "Mill Lane Clinic",
    "Copperfield Accounting",
    "Maple Law",
    "Lakeside Physiotherapy",
    "Juniper Software",
    "Old Town Library",
    "Beacon School",
)

#: product, category, price in cents, how often among its category
MENU: Final = (
    ("Flat white", "Coffee", 450, 20),
    ("Latte", "Coffee", 475, 26),
    ("Cappuccino", "Coffee", 450, 18),
    ("Americano", "Coffee", 350, 12),
    ("Espresso", "Coffee", 300, 8),
    ("Filter coffee", "Coffee", 325, 12),
    ("Cold brew", "Coffee", 500, 8),
    ("Mocha", "Coffee", 525, 6),
    ("Earl Grey", "Tea", 350, 8),
    ("Green tea", "Tea", 350, 6),
    ("Chai latte", "Tea", 475, 8),
    ("Matcha latte", "Tea", 525, 6),
    ("Butter croissant", "Pastry", 375, 14),
    ("Almond croissant", "Pastry", 425, 8),
    ("Cinnamon roll", "Pastry", 450, 10),
    ("Blueberry muffin", "Pastry", 375, 8),
    ("Banana bread", "Pastry", 395, 6),
    ("Avocado toast", "Breakfast", 950, 8),
    ("Granola bowl", "Breakfast", 850, 5),
    ("Egg sandwich", "Breakfast", 775, 9),
    ("Soup of the day", "Lunch", 795, 8),
    ("Chicken pesto panini", "Lunch", 1095, 10),
    ("Grain bowl", "Lunch", 1195, 8),
    ("Caprese sandwich", "Lunch", 995, 7),
    ("Quiche and salad", "Lunch", 1095, 6),
    ("Carrot cake", "Cakes", 595, 6),
    ("Cheesecake", "Cakes", 625, 6),
    ("Brownie", "Cakes", 425, 8),
    ("Lemonade", "Cold drinks", 395, 8),
    ("Sparkling water", "Cold drinks", 295, 6),
    ("Breakfast platter", "Catering", 8900, 5),
    ("Sandwich platter", "Catering", 11900, 6),
    ("Coffee for twelve", "Catering", 4200, 5),
    ("House blend 250 g", "Beans", 1450, 4),
    ("Single origin 250 g", "Beans", 1750, 2),
)

#: Good ratings; many guests write nothing.
PRAISE: Final = (
    "Best flat white in town.",
    "So friendly, as always.",
    "Quick even at nine in the morning.",
    "The cinnamon rolls!",
    "Good coffee, nice playlist.",
    "Lovely place to work for an hour.",
    "Soup was excellent.",
    "",
    "",
    "",
    "",
    "",
)

MIDDLING: Final = (
    "Fine, but a bit loud.",
    "Coffee good, the wait was long.",
    "Pastry was yesterday's, I think.",
    "Okay.",
    "",
    "",
    "",
)

COMPLAINTS: Final = (
    "Waited twenty minutes for a latte.",
    "The soup was cold.",
    "Ordered oat milk, got dairy.",
    "Table was not wiped.",
    "Charged twice and nobody could help.",
    "Rude at the till, sorry to say.",
    "Dry panini, and it took ages.",
    "",
)

PRAISE_ZH: Final = (
    "咖啡很好喝。",
    "店员很亲切。",
    "可颂非常香。",
    "环境安静，适合看书。",
    "",
    "",
    "",
)

COMPLAINTS_ZH: Final = (
    "等了二十分钟。",
    "汤是凉的。",
    "要的燕麦奶，给的是牛奶。",
    "",
)

#: On Saturday, 2 May, the machine at one store broke down: these are from that day.
BROKEN_MACHINE: Final = (
    "No coffee for half an hour, and nobody told the queue.",
    "Machine broken, paid first, told afterwards.",
    "Left without my drink. Please call me about the money.",
    "",
)

SERVERS: Final = (
    "Ines",
    "Marco",
    "Priya",
    "Sam",
    "Tomas",
    "Wren",
    "Yuki",
    "Zadie",
)

TAGS: Final = (
    "oat milk",
    "vegan",
    "gluten free",
    "laptop",
    "dog",
    "window seat",
    "decaf",
)
