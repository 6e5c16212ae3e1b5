"""What things are, in Chinese and in English: the texts that the demo asks, and what its questions are made of."""

from __future__ import annotations

from typing import NamedTuple


class Concept(NamedTuple):
    """A thing and what it is, without the word between them: `X是D`, `X is D`."""

    chinese: str
    chinese_definition: str
    english: str
    english_definition: str


def _concepts(lines: str) -> tuple[Concept, ...]:
    return tuple(Concept(*(part.strip() for part in line.split("|"))) for line in lines.strip().splitlines())


# What the demo asks about. It stands in the documents alone.
ASKED = Concept(
    "人工智能",
    "研究如何让机器像人一样感知、推理和学习的学科",
    "artificial intelligence",
    "the field of science that teaches machines to think and to learn",
)

THEMES = {
    "technology": _concepts("""
        望远镜 | 一种把远处的物体放大来看的仪器 | a telescope | an instrument that makes distant things look near
        显微镜 | 用来观察细小物体的光学仪器 | a microscope | an instrument that shows things too small for the eye
        指南针 | 利用地球磁场指示方向的工具 | a compass | a tool whose needle always points to the north
        浏览器 | 用来打开和阅读网页的软件 | a browser | a program that opens and shows web pages
        操作系统 | 管理计算机硬件和软件的程序 | an operating system | a program that manages the parts of a computer
        数据库 | 按照一定结构存放数据的仓库 | a database | a store of data that is kept in a fixed order
        传感器 | 把光、热、声变成电信号的装置 | a sensor | a device that turns light, heat or sound into a signal
        发动机 | 把燃料的能量变成动力的机器 | an engine | a machine that turns fuel into motion
        太阳能电池 | 把阳光直接变成电的装置 | a solar cell | a device that makes electricity from the light of the sun
        算法 | 解决一类问题的一系列明确步骤 | an algorithm | a list of clear steps that solves a problem
        密码学 | 研究如何保护信息不被偷看的学问 | cryptography | the art of keeping messages secret from others
        机器人 | 能够自动完成工作的机械装置 | a robot | a machine that does work on its own
        卫星导航 | 通过人造卫星确定位置的技术 | satellite navigation | a way to find a place by signals from space
        条形码 | 用粗细不同的线条记录商品信息的图案 | a barcode | a row of lines that names a product
        防火墙 | 阻挡有害网络连接的安全系统 | a firewall | a system that keeps harmful traffic out of a network
        芯片 | 刻有大量微小电路的硅片 | a chip | a small piece of silicon that carries many circuits
        变压器 | 改变交流电电压的电气设备 | a transformer | a device that changes the voltage of a current
        蒸汽机 | 用水蒸气推动活塞做功的机器 | a steam engine | a machine that is driven by the pressure of hot steam
        无人机 | 不需要人坐在里面驾驶的飞行器 | a drone | an aircraft that flies without a pilot on board
        电梯 | 在楼层之间运送人和货物的升降设备 | an elevator | a cabin that carries people between the floors
    """),
    "nature": _concepts("""
        火山 | 地下岩浆喷出地面形成的山 | a volcano | a mountain that opens to the hot rock below the ground
        冰川 | 由积雪压成并且缓慢移动的巨大冰体 | a glacier | a large body of ice that moves slowly down a valley
        彩虹 | 阳光穿过水滴形成的七色光带 | a rainbow | an arc of colours that appears when the sun meets rain
        地震 | 地壳快速释放能量引起的震动 | an earthquake | a sudden shaking of the ground
        潮汐 | 月亮和太阳的引力引起的海水涨落 | the tide | the rise and fall of the sea that the moon causes
        季风 | 随季节改变方向的大范围的风 | a monsoon | a wind that changes its direction with the seasons
        沙漠 | 雨水很少并且植物稀疏的地区 | a desert | a region where very little rain falls
        湿地 | 常年或季节性积水的土地 | a wetland | a piece of land that is covered by shallow water
        珊瑚礁 | 由珊瑚虫的骨骼堆积成的海底结构 | a coral reef | a ridge in the sea that is built by tiny animals
        化石 | 保存在岩层里的古代生物遗迹 | a fossil | a trace of an ancient animal or plant in the rock
        光合作用 | 植物用阳光把水和二氧化碳变成养分的过程 | photosynthesis | the way in which plants feed on light
        食物链 | 生物之间吃与被吃的关系 | a food chain | the order in which living things eat each other
        冬眠 | 一些动物在寒冷季节减少活动的状态 | hibernation | the deep sleep of some animals in the winter
        候鸟 | 随季节在两地之间往返飞行的鸟 | a migratory bird | a bird that travels between two homes every year
        瀑布 | 河水从高处垂直落下的景观 | a waterfall | a place where a river falls from a height
        台风 | 在热带海洋上形成的强烈风暴 | a typhoon | a violent storm that forms over warm seas
        泥石流 | 含有大量泥沙和石块的急流 | a mudslide | a fast stream of wet earth and stones
        极光 | 高空中由带电粒子引起的彩色光芒 | the aurora | a coloured light in the sky near the poles
        森林 | 生长着大片树木的地方 | a forest | a large area that is covered with trees
        露水 | 夜里空气中的水汽凝结成的小水珠 | dew | the small drops of water that form on cold leaves
    """),
    "body": _concepts("""
        心脏 | 推动血液在全身流动的器官 | the heart | the organ that pumps blood through the body
        肺 | 让身体吸入氧气的呼吸器官 | the lung | the organ that takes oxygen from the air
        骨骼 | 支撑身体并且保护内脏的框架 | the skeleton | the frame of bones that holds the body up
        维生素 | 身体少量需要而自己很难制造的营养物质 | a vitamin | a substance that the body needs in small amounts
        蛋白质 | 构成肌肉和器官的重要营养物质 | protein | the matter that muscles and organs are made of
        疫苗 | 帮助身体抵抗某种疾病的药物 | a vaccine | a medicine that trains the body against a disease
        抗生素 | 杀死细菌或者阻止它们生长的药物 | an antibiotic | a medicine that kills bacteria
        过敏 | 身体对某些东西的过度反应 | an allergy | a strong reaction of the body to a harmless thing
        发烧 | 体温高于正常范围的现象 | a fever | a rise of the heat of the body above normal
        近视 | 看不清远处东西的视力问题 | short sight | a weakness of the eye that blurs distant things
        失眠 | 夜里难以入睡或者容易醒来的毛病 | insomnia | the trouble of those who cannot sleep at night
        血型 | 按照红细胞的特征划分的血液类别 | a blood type | a class of blood that doctors tell by its cells
        神经 | 在大脑和身体之间传递信号的组织 | a nerve | a fibre that carries signals to the brain
        免疫系统 | 保护身体不受病菌伤害的防线 | the immune system | the defence of the body against germs
        贫血 | 血液里的红细胞太少的病症 | anaemia | a lack of red cells in the blood
        针灸 | 用细针刺激穴位来治病的方法 | acupuncture | a treatment that sets thin needles into the skin
        急救 | 在医生到来之前给伤者的帮助 | first aid | the help that is given before a doctor comes
        蛀牙 | 牙齿被细菌慢慢破坏的疾病 | tooth decay | the slow damage that bacteria do to a tooth
    """),
    "society": _concepts("""
        货币 | 人们买卖东西时使用的交换媒介 | money | the thing that people accept in exchange for goods
        银行 | 保管存款并且发放贷款的机构 | a bank | a firm that keeps and lends money
        税收 | 国家向个人和企业收取的钱 | a tax | a sum that people have to pay to the state
        法律 | 由国家制定并且人人遵守的规则 | a law | a rule that everyone in a country has to follow
        宪法 | 规定国家根本制度的最高法律 | a constitution | the highest set of rules of a country
        选举 | 由投票决定谁担任职务的活动 | an election | a vote that decides who will hold an office
        通货膨胀 | 物价持续上涨而钱越来越不值钱的现象 | inflation | a lasting rise of the prices in a country
        保险 | 用小额付费换取意外赔偿的约定 | insurance | a contract that pays for a loss
        股票 | 证明持有人拥有公司一部分的凭证 | a share | a paper that makes its holder a part owner of a firm
        专利 | 保护发明人权利的证书 | a patent | a right that protects the work of an inventor
        广告 | 向公众介绍商品的宣传方式 | an advertisement | a message that praises a product to the public
        博物馆 | 收藏和展出珍贵物品的场所 | a museum | a house that collects and shows precious objects
        图书馆 | 收集图书并且借给读者的地方 | a library | a place that lends books to its readers
        外交 | 国家之间进行交往的活动 | diplomacy | the conduct of affairs between countries
        人口普查 | 对一个国家所有居民的统计调查 | a census | an official count of all the people of a country
        方言 | 只在某个地区使用的语言形式 | a dialect | a form of a language that one region speaks
        谚语 | 在民间流传的简短而有道理的话 | a proverb | a short saying that holds old wisdom
        丝绸之路 | 古代连接亚洲和欧洲的贸易道路 | the silk road | an old trade route that joined Asia and Europe
        奴隶制 | 把人当作财产来占有的制度 | slavery | a system in which people own other people
        慈善 | 自愿帮助有困难的人的行为 | charity | the free help that is given to those in need
    """),
    "science": _concepts("""
        原子 | 保持元素性质的最小微粒 | an atom | the smallest part of an element
        分子 | 由几个原子结合成的微粒 | a molecule | a group of atoms that are joined together
        重力 | 地球吸引物体的力 | gravity | the force that pulls all things to the ground
        摩擦力 | 阻碍物体之间相对运动的力 | friction | the force that slows down two rubbing surfaces
        密度 | 单位体积里物质的质量 | density | the mass of a thing divided by its volume
        电流 | 电荷沿着导线的定向移动 | an electric current | a flow of charge through a wire
        磁铁 | 能够吸引铁的物体 | a magnet | an object that attracts iron
        黑洞 | 引力强到连光也不能逃出的天体 | a black hole | a body in space that lets no light escape
        彗星 | 拖着长尾巴绕太阳运行的小天体 | a comet | a small body of ice that draws a long tail
        日食 | 月亮挡住太阳光的天文现象 | a solar eclipse | an event in which the moon hides the sun
        银河系 | 太阳所在的巨大恒星系统 | the Milky Way | the great system of stars that the sun belongs to
        细胞 | 构成生物体的基本单位 | a cell | the basic unit of every living thing
        基因 | 决定生物特征的遗传片段 | a gene | a piece of heredity that shapes a living thing
        病毒 | 只能在活细胞里繁殖的微小病原体 | a virus | a tiny germ that grows in living cells alone
        酸雨 | 含有酸性污染物的雨水 | acid rain | the rain that carries harmful acid from the air
        几何 | 研究形状和空间关系的数学分支 | geometry | the branch of mathematics that deals with shapes
        概率 | 表示事情发生可能性大小的数 | probability | a number that says how likely an event is
        统计学 | 收集和分析数据的科学 | statistics | the science of collecting and reading data
        催化剂 | 改变反应速度而自身不消耗的物质 | a catalyst | a substance that speeds up a reaction
        温室效应 | 大气留住热量使地面变暖的作用 | the greenhouse effect | the warming of the ground by gases in the air
    """),
    "things": _concepts("""
        茶叶 | 用茶树的嫩叶加工成的饮料原料 | tea | a drink that is made from the dried leaves of a bush
        豆腐 | 用黄豆磨浆凝固做成的食品 | tofu | a soft food that is made from soya beans
        酱油 | 用黄豆和小麦发酵做成的调料 | soy sauce | a dark seasoning of beans and wheat
        奶酪 | 用牛奶凝固发酵做成的食品 | cheese | a food that is made from thick sour milk
        面包 | 用面粉发酵烤成的主食 | bread | a food that is baked from flour and water
        瓷器 | 用高岭土烧成的光滑器皿 | porcelain | a fine white ware that is fired from clay
        丝绸 | 用蚕丝织成的柔软布料 | silk | a soft cloth that is woven from the thread of a worm
        雨伞 | 下雨时遮挡雨水的用具 | an umbrella | a folding roof that one carries against the rain
        算盘 | 拨动珠子来计算的传统工具 | an abacus | a frame with beads that helps to count
        毛笔 | 用动物的毛做成的书写工具 | a writing brush | a pen whose tip is made of animal hair
        二胡 | 有两根弦的中国拉弦乐器 | the erhu | a Chinese instrument that has two strings
        钢琴 | 用琴键敲打琴弦发声的乐器 | a piano | an instrument whose keys strike its strings
        围棋 | 用黑白两色棋子争夺地盘的游戏 | the game of go | a game that is played with black and white stones
        风筝 | 借助风力飞上天空的玩具 | a kite | a toy that flies on a string in the wind
        邮票 | 贴在信封上表示付过邮费的小纸片 | a stamp | a bit of paper that shows that a letter is paid for
        水泥 | 加水以后能够变硬的建筑材料 | cement | a powder that sets hard with water
        玻璃 | 用沙子熔化制成的透明材料 | glass | a clear material that is melted from sand
        塑料 | 由石油制成的容易成形的材料 | plastic | a light material that is made from oil
        肥皂 | 用油脂制成的清洁用品 | soap | a product of fat that washes dirt away
        蜡烛 | 用蜡包着棉线做成的照明用品 | a candle | a stick of wax that burns with a small flame
    """),
}
